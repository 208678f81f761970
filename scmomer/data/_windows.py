"""Peaks near genes: windows on the genome and the peaks within."""

from __future__ import annotations

import logging

import numpy as np

from scmomer.data._messages import warn
from scmomer.data._names import examples
from scmomer.module import (
    IntervalPairs,
    PeakPositions,
    Spans,
    overlapping,
    plain_chromosomes,
    shared_chromosomes,
)

logger = logging.getLogger(__name__)

_FEW_ON_SHARED = 0.5  # share of peaks on chromosomes without a gene that deserves a warning


def check_chromosomes(genes: PeakPositions, peaks: PeakPositions) -> None:
    """Raise if genes and peaks share no chromosome; log or warn if their names differ.

    Names that differ only in ``chr``, or are ``M`` and ``MT``, are the same chromosome.
    """
    shared = shared_chromosomes(genes, peaks)
    if not len(shared):
        msg = (
            f"Expected genes and peaks on the same chromosomes, found genes on "
            f"{examples(genes.chromosomes)} and peaks on {examples(peaks.chromosomes)}. Rename "
            "one of them; 'chr1' and '1' already count as the same."
        )
        raise ValueError(msg)
    if not genes.chromosomes.intersection(peaks.chromosomes).size:
        logger.info(
            "Chromosomes of genes (%s) and peaks (%s) are matched without their prefix.",
            examples(genes.chromosomes),
            examples(peaks.chromosomes),
        )
    for one, what, lacks in ((genes, "genes", "peak"), (peaks, "peaks", "gene")):
        known = np.asarray(plain_chromosomes(one.chromosomes).isin(shared))
        away = ~known[one.chromosome]
        text = (
            f"{int(away.sum())} of {len(away)} {what} are on chromosomes without any {lacks}, such "
            f"as {examples(one.chromosomes[~known])}"
        )
        if away.mean() > _FEW_ON_SHARED:
            warn(f"{text}. Rename chromosomes if they are the same under other names.")
        elif away.any():
            logger.info("%s.", text)


def peaks_within(windows: PeakPositions, peaks: PeakPositions) -> IntervalPairs:
    """Return all pairs of a window and a peak that share a base; an empty peak lies in a window.

    Parameters
    ----------
    windows
        May begin before their chromosome, ``(n_windows,)``.
    peaks
        Shape ``(n_peaks,)``. Chromosomes are compared without ``chr``.

    Returns
    -------
    IntervalPairs
        Positions of windows (`query`) and of peaks (`target`).
    """
    chromosomes = plain_chromosomes(peaks.chromosomes)
    names = chromosomes.unique()
    of_peak = names.get_indexer(chromosomes)[peaks.chromosome]
    of_window = names.get_indexer(plain_chromosomes(windows.chromosomes))[windows.chromosome]
    on = np.flatnonzero(of_window >= 0)
    # All chromosomes on one line; clipped, so that no window reaches into the chromosome before.
    length = int(peaks.end.max(initial=0)) + 1
    start, end = (
        of_window[on] * length + ends[on].clip(0, length) for ends in (windows.start, windows.end)
    )
    places = Spans(of_peak * length + peaks.start, of_peak * length + peaks.end)
    window, peak = overlapping(Spans(start, end), places, min_overlap=0)
    return IntervalPairs(on[window], peak)
