"""Genes, peaks and proteins of the synthetic genome."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

FIRST_START = 1000  # of a chromosome, in base pairs
PEAK_WIDTH = (300, 900)
PEAK_DISTANCE = (1000, 20_000)  # between the starts of neighbours, wider than a peak
FOLD_CHANGE = 8.0  # of a marker gene, and of its peaks, in its programme
NO_PROGRAMME = -1


def genes(rng: np.random.Generator, n_genes: int, programmes: Sequence[str]) -> pd.DataFrame:
    """``var`` of the RNA modality, ``(n_genes, 1)``: half of the genes are markers of a programme.

    Markers are spread evenly over the programmes and at random along the genome, so that neighbours
    differ.
    """
    marker_of = rng.permutation(np.arange(n_genes) % (2 * len(programmes)))
    marker_of[marker_of >= len(programmes)] = NO_PROGRAMME
    return pd.DataFrame(
        {"marker_of": pd.Categorical.from_codes(marker_of, list(programmes))},
        index=numbered("Gene", n_genes, at_least=4),
    )


def fold_changes(marker_of: pd.Series) -> np.ndarray:
    """Fold change of each gene in each programme ``(n_programmes, n_genes)``, 1 if no marker."""
    programme = marker_of.cat.codes.to_numpy()
    marker = np.flatnonzero(programme != NO_PROGRAMME)
    fold_change = np.ones((len(marker_of.cat.categories), len(marker_of)))
    fold_change[programme[marker], marker] = FOLD_CHANGE
    return fold_change


def peaks(
    rng: np.random.Generator, n_peaks: int, gene_names: pd.Index, n_chroms: int
) -> pd.DataFrame:
    """``var`` of the ATAC modality, ``(n_peaks, 4)``, in genomic order: chr2 before chr10."""
    gene = gene_of_peak(n_peaks, len(gene_names))
    chrom = gene * n_chroms // len(gene_names)  # a gene's peaks never part
    start = _starts(rng, chrom)
    end = start + rng.integers(*PEAK_WIDTH, size=n_peaks)
    var = pd.DataFrame(
        {
            "chrom": pd.Categorical.from_codes(chrom, numbered("chr", n_chroms)),
            "start": start,
            "end": end,
            "linked_gene": pd.Categorical.from_codes(gene, gene_names),
        }
    )
    place = var["start"].astype(str) + "-" + var["end"].astype(str)
    return var.set_index(pd.Index(var["chrom"].astype(str) + ":" + place, name=None))


def proteins(n_proteins: int, programmes: Sequence[str]) -> pd.DataFrame:
    """``var`` of the protein modality, ``(n_proteins, 1)``: markers of each programme in turn."""
    marker_of = np.arange(n_proteins) % len(programmes)
    return pd.DataFrame(
        {"marker_of": pd.Categorical.from_codes(marker_of, list(programmes))},
        index=numbered("Protein", n_proteins),
    )


def gene_of_peak(n_peaks: int, n_genes: int) -> np.ndarray:
    """Index of the gene that a peak is linked to, int ``(n_peaks,)``, never decreasing."""
    return np.arange(n_peaks) * n_genes // n_peaks


def numbered(prefix: str, n: int, *, at_least: int = 1) -> pd.Index:
    """``prefix1`` to ``prefix{n}``, padded with zeros to ``at_least`` digits."""
    return pd.Index(prefix + pd.Series(np.arange(1, n + 1)).astype(str).str.zfill(at_least))


def _starts(rng: np.random.Generator, chrom: np.ndarray) -> np.ndarray:
    """Increasing starts, int64 ``(n_peaks,)``, which begin anew on each chromosome."""
    ahead = np.cumsum(rng.integers(*PEAK_DISTANCE, size=len(chrom)))
    _, first, of_peak = np.unique(chrom, return_index=True, return_inverse=True)
    return FIRST_START + ahead - ahead[first][of_peak]
