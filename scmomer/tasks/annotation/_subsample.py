"""Fewer cells of each class, without chance."""

from __future__ import annotations

import numpy as np


def every_nth(codes: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return cells evenly spaced among those of their class, sorted.

    Parameters
    ----------
    codes
        Class of each cell, ``(n,)``.
    steps
        For each class, of how many cells one is kept, ``(n_classes,)``.
    """
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    rank = np.empty(len(codes), np.int64)
    rank[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.flatnonzero(rank % steps[codes] == 0)
