"""Candidate links: pairs of a gene and a peak near its transcription start."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scmomer.data import GenePositions, PeakPositions, peaks_within


@dataclass(frozen=True)
class Candidates:
    """Pairs of genes and peaks, each pair once, ordered by gene and peak."""

    gene: np.ndarray
    """Position of the gene, ``(n_pairs,)`` int64."""
    peak: np.ndarray
    """Position of the peak, ``(n_pairs,)`` int64."""
    distance: np.ndarray
    """From the transcription start to the middle of the peak, in base pairs, ``(n_pairs,)`` int64;
    negative upstream of the gene (of a gene without strand: at lower coordinates)."""
    tss: np.ndarray
    """Transcription start of the gene that is nearest to the peak, ``(n_pairs,)`` int64."""
    strand: np.ndarray
    """1, -1, or 0 where unknown, ``(n_pairs,)`` int64."""

    def __len__(self) -> int:
        return len(self.gene)

    def where(self, kept: np.ndarray) -> Candidates:
        """Return some of the pairs, by a mask or by positions."""
        return Candidates(**{name: values[kept] for name, values in vars(self).items()})


def candidate_pairs(genes: GenePositions, peaks: PeakPositions, distance: int) -> Candidates:
    """Return all pairs in which the middle of a peak is within `distance` of a transcription start.

    Of several transcripts of a gene, the one that starts nearest to the peak counts.
    """
    tss, center = genes.tss, (peaks.start + peaks.end) // 2
    windows = replace(genes, start=tss - distance, end=tss + distance)
    row, peak = peaks_within(windows, replace(peaks, start=center, end=center))
    offset = center[peak] - tss[row]
    gene = genes.gene[row]
    order = np.lexsort((np.abs(offset), peak, gene))
    gene, peak, row, offset = gene[order], peak[order], row[order], offset[order]
    first = (np.diff(gene, prepend=-1) != 0) | (np.diff(peak, prepend=-1) != 0)
    strand = genes.strand[row]
    signed = np.where(strand < 0, -offset, offset)
    return Candidates(gene, peak, signed, tss[row], strand).where(first)
