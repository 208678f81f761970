"""Which intervals of one genome overlap which of another set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from scmomer.data import PeakPositions, plain_chromosomes

MOVE = 1_000_000  # bp: far enough that peaks of one assembly overlap by chance only


class Spans(NamedTuple):
    """Half-open intervals on a line on which all chromosomes lie one behind the other."""

    start: np.ndarray
    """``(n,)`` int64."""
    end: np.ndarray
    """``(n,)`` int64, `start` or larger."""

    @property
    def centre(self) -> np.ndarray:
        """Base in the middle, ``(n,)`` int64."""
        return (self.start + self.end) // 2

    def moved(self) -> Spans:
        """Return the intervals a million bases further; none reaches another chromosome."""
        return Spans(self.start + MOVE, self.end + MOVE)


class Pairs(NamedTuple):
    """Pairs of intervals, sorted by neither."""

    query: np.ndarray
    """Position in the query, ``(n_pairs,)`` int64."""
    target: np.ndarray
    """Position in the target, ``(n_pairs,)`` int64."""


def on_one_line(query: PeakPositions, target: PeakPositions) -> tuple[Spans, Spans]:
    """Lay both out on one line; ``chr1`` is ``1``, and ``M`` is ``MT``."""
    names = [*plain_chromosomes(query.chromosomes), *plain_chromosomes(target.chromosomes)]
    codes = pd.factorize(np.array(names, dtype=object))[0].astype(np.int64)
    length = max(query.end.max(), target.end.max()) + MOVE
    offset = {"query": codes[: len(query.chromosomes)], "target": codes[len(query.chromosomes) :]}

    def spans(peaks: PeakPositions, codes: np.ndarray) -> Spans:
        before = codes[peaks.chromosome] * length
        return Spans(before + peaks.start, before + peaks.end)

    return spans(query, offset["query"]), spans(target, offset["target"])


def shared_chromosomes(query: PeakPositions, target: PeakPositions) -> pd.Index:
    """Return the chromosomes that both have, without ``chr``."""
    return (
        plain_chromosomes(query.chromosomes)
        .unique()
        .intersection(plain_chromosomes(target.chromosomes))
    )


def overlapping(query: Spans, target: Spans, min_overlap: int = 1) -> Pairs:
    """Return all pairs that share at least `min_overlap` bases.

    Of two intervals that overlap, either the second starts within the first or the first starts
    behind the start of the second and within it. Each is a range of sorted starts.
    """
    q, t = _starts_within(query, target, "left")
    t_more, q_more = _starts_within(target, query, "right")
    q, t = np.concatenate([q, q_more]), np.concatenate([t, t_more])
    shared = np.minimum(query.end[q], target.end[t]) - np.maximum(query.start[q], target.start[t])
    enough = shared >= min_overlap
    return Pairs(q[enough], t[enough])


def containing_centre(query: Spans, target: Spans) -> Pairs:
    """Return for each centre of the query the interval that contains it, if there is one.

    Of several, the one whose own centre is nearest, then the first.
    """
    points = Spans(query.centre, query.centre + 1)
    q, t = overlapping(points, target)
    order = np.lexsort((t, np.abs(query.centre[q] - target.centre[t]), q))
    q, t = q[order], t[order]
    first = np.diff(q, prepend=-1) > 0
    return Pairs(q[first], t[first])


def _starts_within(outer: Spans, inner: Spans, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Pairs in which `inner` starts within `outer`; "right" leaves out those that start together."""
    order = np.argsort(inner.start, kind="stable")
    starts = inner.start[order]
    first = np.searchsorted(starts, outer.start, side)  # type: ignore[call-overload]
    n = np.searchsorted(starts, outer.end, "left") - first  # of each outer interval
    n = np.maximum(n, 0)  # -1 if it is empty
    within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    return np.repeat(np.arange(len(n)), n), order[np.repeat(first, n) + within]
