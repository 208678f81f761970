"""Average precision across the cells of each peak."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from scmomer.metrics._blocks import by_columns, dense, open_entries
from scmomer.metrics._checks import Matrix, check_pair
from scmomer.metrics._rank import no_scorable_peak, ranking_keys, scorable_peaks


def average_precision_per_peak(
    truth: Matrix, score: Matrix, *, min_positives: int = 10, chunk_size: int = 2048
) -> np.ndarray:
    r"""Average precision of every peak, across cells.

    For a peak with open cells :math:`P` among all cells :math:`A`, the mean over open cells of the
    precision at the score of that cell:

    .. math::

        \mathrm{AP} = \frac{1}{|P|} \sum_{i \in P}
        \frac{|\{j \in P : x_j \ge x_i\}|}{|\{j \in A : x_j \ge x_i\}|}

    which equals scikit-learn's sum over thresholds of precision times the gain in recall.

    Parameters
    ----------
    truth
        Accessibility, shape ``(n_cells, n_peaks)``; a peak is open where it is above zero.
    score
        Predicted accessibility on any scale, shape ``(n_cells, n_peaks)``.
    min_positives
        Peaks that are open in fewer cells are left out.
    chunk_size
        Number of peaks per chunk; needs about ``20 * n_cells * chunk_size`` bytes.

    Returns
    -------
    Values in (0, 1] of shape ``(n_peaks,)``; the share of open cells for a constant score. NaN for
    a peak with fewer than ``min_positives`` open cells or without a closed cell, as in
    :func:`~scmomer.metrics.auroc_per_peak`.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or no peak can be scored.
    """
    truth, score = check_pair(truth, score)
    is_open, score = open_entries(truth, chunk_size), by_columns(score)
    scorable = scorable_peaks(is_open, min_positives)
    if not scorable.size:
        raise no_scorable_peak(is_open, min_positives)
    precision = np.full(truth.shape[1], np.nan)
    for start in range(0, scorable.size, chunk_size):
        peaks = scorable[start : start + chunk_size]
        opened = is_open[:, peaks].tocoo()  # (n_cells, chunk)
        precision[peaks] = _average_precision(opened, dense(score[:, peaks]))
    return precision


def peak_average_precision(
    truth: Matrix, score: Matrix, *, min_positives: int = 10, chunk_size: int = 2048
) -> float:
    r"""Mean over peaks of the average precision across cells.

    .. math::

        \frac{1}{|J|} \sum_{j \in J} \mathrm{AP}(y_{\cdot j} > 0, x_{\cdot j}), \qquad
        J = \{j : j \text{ is open in at least min_positives cells, closed in at least one}\}

    Unlike the AUROC, it depends on how often peaks are open: compare it only on the same cells and
    peaks. See :func:`~scmomer.metrics.average_precision_per_peak` for the value of each peak.

    Parameters
    ----------
    truth
        Accessibility, shape ``(n_cells, n_peaks)``; a peak is open where it is above zero.
    score
        Predicted accessibility on any scale, shape ``(n_cells, n_peaks)``.
    min_positives
        Peaks that are open in fewer cells are left out.
    chunk_size
        Number of peaks per chunk.

    Returns
    -------
    A value in (0, 1]; the mean share of open cells for a score that is the same for all cells.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or no peak can be scored.
    """
    per_peak = average_precision_per_peak(
        truth, score, min_positives=min_positives, chunk_size=chunk_size
    )
    return float(np.nanmean(per_peak))


def _average_precision(opened: sp.coo_array, values: np.ndarray) -> np.ndarray:
    """Return average precision ``(n_peaks,)``; each peak must have an open cell."""
    n_cells, n_peaks = values.shape
    peak = opened.coords[1]
    keys, query = ranking_keys(opened, values)
    n_open = np.bincount(peak, minlength=n_peaks)
    # The keys of a peak end where the next begins: entries that are not below are at or above.
    at_least = (peak + 1) * np.int64(n_cells) - np.searchsorted(keys, query)
    open_at_least = np.cumsum(n_open)[peak] - np.searchsorted(np.sort(query), query)
    return np.bincount(peak, open_at_least / at_least, minlength=n_peaks) / n_open
