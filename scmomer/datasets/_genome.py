"""Genes, peaks and proteins of the synthetic genome."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

FIRST_START = 1000  # of a chromosome, in base pairs
PEAK_WIDTH = (300, 900)
PEAK_DISTANCE = (1000, 20_000)  # between starts of adjacent peaks; wider than a peak
FOLD_CHANGE = 8.0  # of a marker gene and its peaks, in its program
NO_PROGRAM = -1


def genes(rng: np.random.Generator, n_genes: int, programs: Sequence[str]) -> pd.DataFrame:
    """Return ``var`` of RNA, ``(n_genes, 1)``: half of the genes are markers of a program.

    Markers are spread evenly over the programs and randomly along the genome.
    """
    marker_of = rng.permutation(np.arange(n_genes) % (2 * len(programs)))
    marker_of[marker_of >= len(programs)] = NO_PROGRAM
    return pd.DataFrame(
        {"marker_of": pd.Categorical.from_codes(marker_of, list(programs))},
        index=numbered("Gene", n_genes, at_least=4),
    )


def fold_changes(marker_of: pd.Series) -> np.ndarray:
    """Return the fold change of each gene in each program, ``(n_programs, n_genes)``."""
    program = marker_of.cat.codes.to_numpy()
    marker = np.flatnonzero(program != NO_PROGRAM)
    fold_change = np.ones((len(marker_of.cat.categories), len(marker_of)))
    fold_change[program[marker], marker] = FOLD_CHANGE
    return fold_change


def peaks(
    rng: np.random.Generator, n_peaks: int, gene_names: pd.Index, n_chroms: int
) -> pd.DataFrame:
    """Return ``var`` of ATAC, ``(n_peaks, 4)``, in genomic order: chr2 before chr10."""
    gene = gene_of_peak(n_peaks, len(gene_names))
    chrom = gene * n_chroms // len(gene_names)  # all peaks of a gene on one chromosome
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
    position = var["start"].astype(str) + "-" + var["end"].astype(str)
    return var.set_index(pd.Index(var["chrom"].astype(str) + ":" + position, name=None))


def proteins(n_proteins: int, programs: Sequence[str]) -> pd.DataFrame:
    """Return ``var`` of protein, ``(n_proteins, 1)``: markers of each program in turn."""
    marker_of = np.arange(n_proteins) % len(programs)
    return pd.DataFrame(
        {"marker_of": pd.Categorical.from_codes(marker_of, list(programs))},
        index=numbered("Protein", n_proteins),
    )


def gene_of_peak(n_peaks: int, n_genes: int) -> np.ndarray:
    """Return the index of the gene of each peak, int ``(n_peaks,)``, nondecreasing."""
    return np.arange(n_peaks) * n_genes // n_peaks


def numbered(prefix: str, n: int, *, at_least: int = 1) -> pd.Index:
    """Return ``prefix1`` to ``prefix{n}``, padded with zeros to ``at_least`` digits."""
    return pd.Index(prefix + pd.Series(np.arange(1, n + 1)).astype(str).str.zfill(at_least))


def _starts(rng: np.random.Generator, chrom: np.ndarray) -> np.ndarray:
    """Return increasing starts, int64 ``(n_peaks,)``, restarting on each chromosome."""
    ahead = np.cumsum(rng.integers(*PEAK_DISTANCE, size=len(chrom)))
    _, first, of_peak = np.unique(chrom, return_index=True, return_inverse=True)
    return FIRST_START + ahead - ahead[first][of_peak]
