"""Calibration: is a peak with predicted probability p open in a share p of cells?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from scmomer.metrics._blocks import column_blocks, dense
from scmomer.metrics._checks import Matrix, check_pair

# About one open cell in a data set of ten thousand.
_FIRST_EDGE = 1e-4


class _Tally(NamedTuple):
    """Sums over all entries."""

    edges: np.ndarray  # (n_bins + 1,)
    entries: np.ndarray  # (n_bins,)
    probability: np.ndarray  # (n_bins,), sum of predicted probabilities
    opened: np.ndarray  # (n_bins,), open entries
    squared_error: float


def calibration_curve(
    truth: Matrix, probability: Matrix, *, n_bins: int = 20, chunk_size: int = 2048
) -> pd.DataFrame:
    r"""Predicted probability against observed frequency, over all (cell, peak) entries.

    Most peaks are rarely open, so that most probabilities are below 0.01. Bins of equal width would
    have nearly all entries in the first bin, and bins of equal size would not resolve high
    probabilities. The bins therefore have equal width in :math:`\log p`, the same for all data:

    .. math::

        [0, 10^{-4}), \quad
        [10^{-4 + 4 (b - 1) / (B - 1)}, \; 10^{-4 + 4 b / (B - 1)}) \text{ for } b = 1, ..., B - 1,

    where the last bin includes 1.

    Parameters
    ----------
    truth
        Accessibility, shape ``(n_cells, n_peaks)``; a peak is open where it is above zero.
    probability
        Predicted probability that the peak is open, shape ``(n_cells, n_peaks)``.
    n_bins
        Number of bins :math:`B`.
    chunk_size
        Number of peaks per chunk; needs about ``35 * n_cells * chunk_size`` bytes.

    Returns
    -------
    One row per bin in ascending order, with columns ``"lower"`` and ``"upper"`` (its edges),
    ``"mean_probability"``, ``"observed_frequency"`` (both NaN in an empty bin) and ``"count"``.

    Raises
    ------
    ValueError
        If shapes differ, a value is not a probability, or ``n_bins`` is below 2.
    """
    tally = _tally(truth, probability, n_bins, chunk_size)
    mean_probability, frequency = _means(tally)
    return pd.DataFrame(
        {
            "lower": tally.edges[:-1],
            "upper": tally.edges[1:],
            "mean_probability": mean_probability,
            "observed_frequency": frequency,
            "count": tally.entries,
        }
    )


def calibration(
    truth: Matrix, probability: Matrix, *, n_bins: int = 20, chunk_size: int = 2048
) -> dict[str, float]:
    r"""Expected calibration error and Brier score over all (cell, peak) entries.

    With :math:`n_b` entries of mean probability :math:`\bar{p}_b` and observed frequency
    :math:`\bar{y}_b` in the bins of :func:`~scmomer.metrics.calibration_curve`,

    .. math::

        \mathrm{ECE} = \sum_b \frac{n_b}{n} |\bar{y}_b - \bar{p}_b|, \qquad
        \mathrm{Brier} = \frac{1}{n} \sum_{ij} (p_{ij} - [y_{ij} > 0])^2.

    Both are small if few entries are open, for any prediction: compare them with those of the mean
    of the training cells on the same entries. That mean is well calibrated, so neither score
    measures whether cells are distinguished.

    Parameters
    ----------
    truth
        Accessibility, shape ``(n_cells, n_peaks)``; a peak is open where it is above zero.
    probability
        Predicted probability that the peak is open, shape ``(n_cells, n_peaks)``.
    n_bins
        Number of bins.
    chunk_size
        Number of peaks per chunk; needs about ``35 * n_cells * chunk_size`` bytes.

    Returns
    -------
    ``"expected_calibration_error"`` and ``"brier"``, both in [0, 1]; 0 is best.

    Raises
    ------
    ValueError
        If shapes differ, a value is not a probability, or ``n_bins`` is below 2.
    """
    tally = _tally(truth, probability, n_bins, chunk_size)
    n = tally.entries.sum()
    gap = np.abs(tally.opened - tally.probability).sum()
    return {
        "expected_calibration_error": float(gap / n),
        "brier": float(tally.squared_error / n),
    }


def _means(tally: _Tally) -> list[np.ndarray]:
    """Mean probability and observed frequency of each bin, ``(n_bins,)``; NaN where empty."""
    return [
        np.divide(
            total, tally.entries, out=np.full(tally.entries.size, np.nan), where=tally.entries > 0
        )
        for total in (tally.probability, tally.opened)
    ]


def _tally(truth: Matrix, probability: Matrix, n_bins: int, chunk_size: int) -> _Tally:
    """Sum up the entries of each bin, chunk by chunk."""
    truth, probability = check_pair(truth, probability, ("truth", "probability"))
    lowest, highest = probability.min(), probability.max()
    if lowest < 0 or highest > 1:
        msg = (
            f"Expected `probability` to lie between 0 and 1, found {lowest:g} to {highest:g}. "
            "Pass probabilities that a peak is open, not counts or logits."
        )
        raise ValueError(msg)
    if n_bins < 2:
        msg = f"Expected `n_bins` to be at least 2, found {n_bins}."
        raise ValueError(msg)
    edges = np.append(0.0, np.geomspace(_FIRST_EDGE, 1, n_bins))
    entries, opened = np.zeros((2, n_bins), dtype=np.int64)
    total, squared_error = np.zeros(n_bins), 0.0
    blocks = (column_blocks(matrix, chunk_size) for matrix in (truth, probability))
    for true_block, block in zip(*blocks, strict=True):
        p = dense(block).astype(np.float64).ravel()  # (n_cells * chunk,)
        y = (dense(true_block) > 0).ravel()
        bins = np.searchsorted(edges[1:-1], p, side="right")
        entries += np.bincount(bins, minlength=n_bins)
        opened += np.bincount(bins[y], minlength=n_bins)
        total += np.bincount(bins, p, minlength=n_bins)
        squared_error += np.square(p - y).sum()
    return _Tally(edges, entries, total, opened, squared_error)
