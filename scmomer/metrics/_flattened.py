"""Scores over all entries of the matrix at once, as reported by BABEL."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from scmomer.metrics._blocks import column_blocks, dense, open_entries
from scmomer.metrics._checks import Matrix, check_pair


def flattened_auroc(truth: Matrix, score: Matrix, *, chunk_size: int = 2048) -> float:
    r"""Area under the ROC curve over all (cell, peak) entries at once, as reported by BABEL.

    For open entries :math:`P` and closed entries :math:`N` of the whole matrix,

    .. math::

        \mathrm{AUROC} = \frac{1}{|P| |N|}
        \sum_{p \in P} \sum_{q \in N} [x_p > x_q] + \tfrac{1}{2} [x_p = x_q].

    It mostly measures peak frequency: nearly all pairs are of two different peaks, and which of
    them is open more often can be predicted without the cell. On SNARE-seq the mean of the training
    cells, the same for every cell, scores 0.83. Report it for comparison with published values,
    beside :func:`~scmomer.metrics.peak_auroc_within_depth`, where that mean scores 0.5.

    Parameters
    ----------
    truth
        Accessibility, shape ``(n_cells, n_peaks)``; a peak is open where it is above zero.
    score
        Predicted accessibility on any scale, shape ``(n_cells, n_peaks)``.
    chunk_size
        Number of peaks per chunk. Needs a sorted copy of ``n_cells * chunk_size`` scores and about
        70 bytes per open entry of ``truth``; no copy of the matrix is made.

    Returns
    -------
    A value in [0, 1]; 0.5 for a constant score.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or entries are all open or all closed.
    """
    truth, score = check_pair(truth, score)
    n_open, below, upto = _tally(truth, score, chunk_size)
    n, p = truth.shape[0] * truth.shape[1], int(n_open.sum())
    wins = n_open @ ((below + upto) / 2) - p**2 / 2  # minus pairs of open entries
    return float(wins / (p * (n - p)))


def flattened_average_precision(truth: Matrix, score: Matrix, *, chunk_size: int = 2048) -> float:
    r"""Average precision over all (cell, peak) entries at once.

    For open entries :math:`P` among all entries :math:`A` of the whole matrix,

    .. math::

        \mathrm{AP} = \frac{1}{|P|} \sum_{p \in P}
        \frac{|\{q \in P : x_q \ge x_p\}|}{|\{q \in A : x_q \ge x_p\}|}.

    It mostly measures peak frequency, see :func:`~scmomer.metrics.flattened_auroc`;
    :func:`~scmomer.metrics.peak_average_precision` compares the cells of each peak.

    Parameters
    ----------
    truth
        Accessibility, shape ``(n_cells, n_peaks)``; a peak is open where it is above zero.
    score
        Predicted accessibility on any scale, shape ``(n_cells, n_peaks)``.
    chunk_size
        Number of peaks per chunk. Needs a sorted copy of ``n_cells * chunk_size`` scores and about
        70 bytes per open entry of ``truth``; no copy of the matrix is made.

    Returns
    -------
    A value in (0, 1]; the share of open entries for a constant score.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or entries are all open or all closed.
    """
    truth, score = check_pair(truth, score)
    n_open, below, _ = _tally(truth, score, chunk_size)
    at_least = truth.shape[0] * truth.shape[1] - below
    open_at_least = np.cumsum(n_open[::-1])[::-1]
    return float(n_open @ (open_at_least / at_least) / n_open.sum())


def _tally(
    truth: Matrix, score: Matrix, chunk_size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count entries at each distinct score of an open entry, in ascending order.

    Returns
    -------
    Open entries with that score, entries below it and entries up to it, each ``(n_distinct,)``.
    """
    is_open = open_entries(truth, chunk_size)
    n, p = is_open.shape[0] * is_open.shape[1], is_open.nnz
    if not 0 < p < n:
        msg = (
            f"Expected `truth` to have open (above zero) and closed entries, found {p} open ones "
            f"of {n}. Pass more cells or peaks."
        )
        raise ValueError(msg)
    pairs = zip(column_blocks(score, chunk_size), column_blocks(is_open, chunk_size), strict=True)
    found = [dense(values)[sp.coo_array(opened).coords] for values, opened in pairs]
    distinct, n_open = np.unique(np.concatenate(found), return_counts=True)
    below, upto = np.zeros((2, distinct.size), dtype=np.int64)
    for values in column_blocks(score, chunk_size):
        ordered = np.sort(dense(values), axis=None)
        below += np.searchsorted(ordered, distinct, side="left")
        upto += np.searchsorted(ordered, distinct, side="right")
    return n_open, below, upto
