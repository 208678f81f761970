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


def genes(
    rng: np.random.Generator, n_genes: int, programs: Sequence[str], marker_share: float
) -> pd.DataFrame:
    """Return ``var`` of RNA, ``(n_genes, 1)``: a share of the genes are markers of a program.

    Markers are spread evenly over the programs and randomly along the genome.
    """
    cycle = max(round(len(programs) / marker_share), len(programs))
    marker_of = rng.permutation(np.arange(n_genes) % cycle)
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
    chrom = _chromosome(gene, len(gene_names), n_chroms)
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


def locate_genes(
    rng: np.random.Generator, n_genes: int, peak_var: pd.DataFrame, n_chroms: int
) -> pd.DataFrame:
    """Return ``chrom``, ``start``, ``end``, ``strand`` of the genes, ``(n_genes, 4)``, in order.

    A gene spans the peaks that are side by side for it; one without peaks is as long as a peak.
    """
    n_peaks, gene = len(peak_var), np.arange(n_genes)
    of_peak = gene_of_peak(n_peaks, n_genes)
    first = np.searchsorted(of_peak, gene, "left")
    after = np.searchsorted(of_peak, gene, "right")
    has_peaks = after > first
    chrom = _chromosome(gene, n_genes, n_chroms)
    start = peak_var["start"].to_numpy()[first.clip(max=n_peaks - 1)]
    end = peak_var["end"].to_numpy()[(after - 1).clip(0)]
    # Of more genes than peaks, those in between are strung along their chromosome.
    turn = FIRST_START + PEAK_DISTANCE[0] * (gene - np.searchsorted(chrom, chrom))
    start = np.where(has_peaks, start, turn)
    return pd.DataFrame(
        {
            "chrom": pd.Categorical.from_codes(chrom, numbered("chr", n_chroms)),
            "start": start,
            "end": np.where(has_peaks, end, start + PEAK_WIDTH[0]),
            "strand": rng.choice(["+", "-"], n_genes),
        },
        index=numbered("Gene", n_genes, at_least=4),
    )


def link_within(
    rng: np.random.Generator, gene_var: pd.DataFrame, peak_var: pd.DataFrame, distance: float
) -> np.ndarray:
    """Return a random gene for each peak, of those that start within `distance`, ``(n_peaks,)``.

    A peak without such a gene keeps its own.
    """
    own = peak_var["linked_gene"].cat.codes.to_numpy().astype(np.intp)
    start = np.where(gene_var["strand"] == "+", gene_var["start"], gene_var["end"])
    center = ((peak_var["start"] + peak_var["end"]) // 2).to_numpy()
    # All chromosomes on one line, too far apart to be linked.
    length = max(start.max(), center.max()) + distance + 1
    start = start + gene_var["chrom"].cat.codes.to_numpy() * length
    center = center + peak_var["chrom"].cat.codes.to_numpy() * length
    order = np.argsort(start, kind="stable")
    ordered = start[order]
    first = np.searchsorted(ordered, center - distance, "left")
    after = np.searchsorted(ordered, center + distance, "right")
    chosen = first + rng.integers(0, np.maximum(after - first, 1))
    return np.where(after > first, order[chosen.clip(max=len(order) - 1)], own)


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


def _chromosome(gene: np.ndarray, n_genes: int, n_chroms: int) -> np.ndarray:
    """Return the chromosome of each gene: all its peaks are on the same one."""
    return gene * n_chroms // n_genes


def numbered(prefix: str, n: int, *, at_least: int = 1) -> pd.Index:
    """Return ``prefix1`` to ``prefix{n}``, padded with zeros to ``at_least`` digits."""
    return pd.Index(prefix + pd.Series(np.arange(1, n + 1)).astype(str).str.zfill(at_least))


def _starts(rng: np.random.Generator, chrom: np.ndarray) -> np.ndarray:
    """Return increasing starts, int64 ``(n_peaks,)``, restarting on each chromosome."""
    ahead = np.cumsum(rng.integers(*PEAK_DISTANCE, size=len(chrom)))
    _, first, of_peak = np.unique(chrom, return_index=True, return_inverse=True)
    return FIRST_START + ahead - ahead[first][of_peak]
