"""Scores of pairs with weights, and their spread if other genes had been drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

METRICS = ("auroc", "average_precision")


class RankedPairs:
    """Pairs in the order of their scores, for many weightings.

    Parameters
    ----------
    score
        Predicted scores ``(n_pairs,)``.
    positive
        bool ``(n_pairs,)``.
    """

    def __init__(self, score: np.ndarray, positive: np.ndarray) -> None:
        self._order = np.argsort(-score, kind="stable")  # descending
        ranked = score[self._order]
        self._starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])  # of equal scores
        self._positive = positive[self._order]

    def scores(self, weight: np.ndarray | None = None) -> np.ndarray:
        """Return AUROC and average precision, ``(2,)``; NaN without both classes.

        Parameters
        ----------
        weight
            Weight of each pair ``(n_pairs,)``; None for 1.
        """
        w = np.ones(len(self._order)) if weight is None else weight[self._order]
        positive = np.add.reduceat(np.where(self._positive, w, 0.0), self._starts)
        negative = np.add.reduceat(np.where(self._positive, 0.0, w), self._starts)
        n_positive, n_negative = positive.sum(), negative.sum()
        if not n_positive or not n_negative:
            return np.full(len(METRICS), np.nan)
        above = np.cumsum(positive) - positive / 2  # equal scores count half
        auroc = (negative * above).sum() / (n_positive * n_negative)
        hits, all_ = np.cumsum(positive), np.cumsum(positive + negative)
        precision = np.divide(hits, all_, out=np.zeros_like(hits), where=all_ > 0)
        return np.array([auroc, (positive * precision).sum() / n_positive])


def resampled(
    pairs: list[np.ndarray], n_genes: int, n_times: int, seed: int
) -> Iterator[list[np.ndarray]]:
    """Yield weights of pairs for genes that are drawn with replacement.

    The weight of a pair is the product of how often its genes were drawn (Owen 2007).

    Parameters
    ----------
    pairs
        Test pairs of each split, ``(n_pairs, 2)``.
    n_genes
        Number of genes.
    n_times
        Number of draws.
    seed
        Seed.

    Yields
    ------
    list of numpy.ndarray
        Weights of the pairs of each split.
    """
    rng = np.random.default_rng(seed)
    genes = np.unique(np.concatenate(pairs))
    for _ in range(n_times):
        drawn = np.zeros(n_genes)
        drawn[genes] = np.bincount(rng.integers(len(genes), size=len(genes)), minlength=len(genes))
        yield [drawn[p[:, 0]] * drawn[p[:, 1]] for p in pairs]
