"""Overlaps of two sets of genomic intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from scmomer.module.modalities.atac._peaks import PeakPositions, plain_chromosomes

SHIFT = 1_000_000  # base pairs; peaks shifted this far overlap only by chance


class Spans(NamedTuple):
    """Half-open intervals, with all chromosomes concatenated on one line."""

    start: np.ndarray
    """``(n,)`` int64."""
    end: np.ndarray
    """``(n,)`` int64, `start` or larger."""

    @property
    def center(self) -> np.ndarray:
        """Middle base, ``(n,)`` int64."""
        return (self.start + self.end) // 2

    def shifted(self) -> Spans:
        """Return the intervals shifted by a million bases; none reaches the next chromosome."""
        return Spans(self.start + SHIFT, self.end + SHIFT)


class IntervalPairs(NamedTuple):
    """Pairs of intervals, in no particular order."""

    query: np.ndarray
    """Position in the query, ``(n_pairs,)`` int64."""
    target: np.ndarray
    """Position in the target, ``(n_pairs,)`` int64."""


def on_one_line(query: PeakPositions, target: PeakPositions) -> tuple[Spans, Spans]:
    """Concatenate the chromosomes of both; ``chr1`` equals ``1``, and ``M`` equals ``MT``."""
    names = [*plain_chromosomes(query.chromosomes), *plain_chromosomes(target.chromosomes)]
    codes = pd.factorize(np.array(names, dtype=object))[0].astype(np.int64)
    length = max(query.end.max(), target.end.max()) + SHIFT
    offset = {"query": codes[: len(query.chromosomes)], "target": codes[len(query.chromosomes) :]}

    def spans(peaks: PeakPositions, codes: np.ndarray) -> Spans:
        before = codes[peaks.chromosome] * length
        return Spans(before + peaks.start, before + peaks.end)

    return spans(query, offset["query"]), spans(target, offset["target"])


def shared_chromosomes(query: PeakPositions, target: PeakPositions) -> pd.Index:
    """Return the shared chromosomes, without ``chr``."""
    return (
        plain_chromosomes(query.chromosomes)
        .unique()
        .intersection(plain_chromosomes(target.chromosomes))
    )


def overlapping(query: Spans, target: Spans, min_overlap: int = 1) -> IntervalPairs:
    """Return all pairs that share at least `min_overlap` bases.

    If two intervals overlap, either the second starts within the first, or the first starts within
    the second and after its start. Each case is a range of sorted starts.
    """
    q, t = _starts_within(query, target, "left")
    t_more, q_more = _starts_within(target, query, "right")
    q, t = np.concatenate([q, q_more]), np.concatenate([t, t_more])
    shared = np.minimum(query.end[q], target.end[t]) - np.maximum(query.start[q], target.start[t])
    enough = shared >= min_overlap
    return IntervalPairs(q[enough], t[enough])


def containing_center(query: Spans, target: Spans) -> IntervalPairs:
    """Return, for each query center, the target that contains it, if any.

    Of several targets: the one with the nearest center, then the first.
    """
    points = Spans(query.center, query.center + 1)
    q, t = overlapping(points, target)
    order = np.lexsort((t, np.abs(query.center[q] - target.center[t]), q))
    q, t = q[order], t[order]
    first = np.diff(q, prepend=-1) > 0
    return IntervalPairs(q[first], t[first])


def _starts_within(outer: Spans, inner: Spans, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs in which `inner` starts within `outer`; "right" leaves out equal starts."""
    order = np.argsort(inner.start, kind="stable")
    starts = inner.start[order]
    first = np.searchsorted(starts, outer.start, side)  # type: ignore[call-overload]
    n = np.searchsorted(starts, outer.end, "left") - first  # of each outer interval
    n = np.maximum(n, 0)  # -1 if it is empty
    within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    return np.repeat(np.arange(len(n)), n), order[np.repeat(first, n) + within]
