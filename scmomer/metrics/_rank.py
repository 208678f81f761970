"""How well scores rank the cells of each peak, for the translation metrics."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from scmomer.metrics._blocks import by_columns, dense, open_entries
from scmomer.metrics._checks import Matrix, check_pair, check_per_cell


def auroc_per_peak(
    truth: Matrix,
    score: Matrix,
    *,
    strata: ArrayLike | None = None,
    min_positives: int = 10,
    chunk_size: int = 2048,
) -> np.ndarray:
    r"""Area under the ROC curve of each peak, across cells of the same stratum.

    For a peak with open cells :math:`P_s` and closed cells :math:`N_s` in stratum :math:`s`,

    .. math::

        \mathrm{AUROC} = \frac{\sum_s U_s}{\sum_s |P_s| |N_s|}, \qquad
        U_s = \sum_{i \in P_s} \sum_{j \in N_s} [x_i > x_j] + \tfrac{1}{2} [x_i = x_j].

    Parameters
    ----------
    truth
        Accessibility, shape ``(n_cells, n_peaks)``; a peak is open where it is above zero.
    score
        Predicted accessibility on any scale, shape ``(n_cells, n_peaks)``.
    strata
        Stratum of each cell, shape ``(n_cells,)``, any hashable labels. By default all cells are
        in one stratum, which gives the ordinary AUROC.
    min_positives
        Peaks that are open in fewer cells are left out.
    chunk_size
        Number of peaks per chunk; needs about ``20 * n_cells * chunk_size`` bytes.

    Returns
    -------
    Values in [0, 1] of shape ``(n_peaks,)``, 0.5 for an uninformative score. NaN for a peak with
    fewer than ``min_positives`` open cells or without a pair of an open and a closed cell.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or no peak can be scored.
    """
    truth, score = check_pair(truth, score)
    n_cells, n_peaks = truth.shape
    is_open, score = open_entries(truth, chunk_size), by_columns(score)
    scorable = scorable_peaks(is_open, min_positives)
    members = _members(strata, n_cells)
    wins, pairs = np.zeros(n_peaks), np.zeros(n_peaks)
    for start in range(0, scorable.size, chunk_size):
        peaks = scorable[start : start + chunk_size]
        values = dense(score[:, peaks])  # (n_cells, chunk)
        opened = is_open[:, peaks].tocsr()  # (n_cells, chunk)
        for cells in members:
            u, n_pairs = _mann_whitney(opened[cells].tocoo(), values[cells])
            wins[peaks] += u
            pairs[peaks] += n_pairs
    if not pairs.any():
        raise no_scorable_peak(is_open, min_positives)
    return np.divide(wins, pairs, out=np.full(n_peaks, np.nan), where=pairs > 0)


def depth_strata(depth: ArrayLike, n_strata: int = 10) -> np.ndarray:
    """Split cells into strata of equal size by depth.

    Parameters
    ----------
    depth
        Depth of each cell, shape ``(n_cells,)``. Ties are split in the order of the cells.
    n_strata
        Number of strata; 10 gives deciles.

    Returns
    -------
    Stratum of each cell, from 0 (shallowest) to ``n_strata - 1``, shape ``(n_cells,)``.

    Raises
    ------
    ValueError
        If ``depth`` is not one finite value per cell, or ``n_strata`` is below 1.
    """
    depth = np.asarray(depth)
    if depth.ndim != 1 or not np.isfinite(depth).all():
        msg = (
            f"Expected `depth` to have one finite value per cell, found shape {depth.shape} with "
            f"{np.count_nonzero(~np.isfinite(depth))} values that are not finite."
        )
        raise ValueError(msg)
    if n_strata < 1:
        msg = f"Expected `n_strata` to be at least 1, found {n_strata}."
        raise ValueError(msg)
    strata = np.empty(depth.size, dtype=np.intp)
    strata[np.argsort(depth, kind="stable")] = np.arange(depth.size) * n_strata // depth.size
    return strata


def scorable_peaks(is_open: sp.csc_array, min_positives: int) -> np.ndarray:
    """Return the indices of peaks with enough open cells and at least one closed cell."""
    n_open = np.diff(is_open.indptr)
    return np.flatnonzero((n_open >= max(min_positives, 1)) & (n_open < is_open.shape[0]))


def no_scorable_peak(is_open: sp.csc_array, min_positives: int) -> ValueError:
    """Return the error for a matrix ``(n_cells, n_peaks)`` without a peak to score."""
    return ValueError(
        f"Expected a peak with at least {min_positives} open cells and at least one closed cell, "
        f"found none: peaks are open in up to {np.diff(is_open.indptr).max()} of "
        f"{is_open.shape[0]} cells. Lower `min_positives`, use fewer strata or pass more cells."
    )


def ranking_keys(opened: sp.coo_array, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted keys of all cells and keys of open cells, from ``(n_cells, n_peaks)``.

    With these keys, one binary search is enough for all peaks: complex numbers sort by real part
    (the peak), then by imaginary part (the value).

    Returns
    -------
    Keys sorted, ``(n_peaks * n_cells,)``; keys in the order of ``opened``, ``(n_open,)``.
    """
    cell, peak = opened.coords
    keys = 1j * np.sort(np.ascontiguousarray(values.T), axis=1)  # (n_peaks, n_cells)
    keys += np.arange(values.shape[1])[:, None]
    query = 1j * values[cell, peak]
    query += peak
    return keys.ravel(), query


def _members(strata: ArrayLike | None, n_cells: int) -> list[np.ndarray]:
    """Return the indices of the cells of each stratum."""
    if strata is None:
        return [np.arange(n_cells)]
    codes = np.unique(check_per_cell("strata", strata, n_cells), return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])


def _mann_whitney(opened: sp.coo_array, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Mann-Whitney U and the number of pairs, each ``(n_peaks,)``, by binary search."""
    n_cells, n_peaks = values.shape
    peak = opened.coords[1]
    keys, query = ranking_keys(opened, values)
    below, upto = (np.searchsorted(keys, query, side=side) for side in ("left", "right"))
    rank = (below + upto) / 2 - peak * np.int64(n_cells)  # ties count one half
    n_open = np.bincount(peak, minlength=n_peaks)
    u = np.bincount(peak, rank, minlength=n_peaks) - n_open**2 / 2  # minus pairs of open cells
    return u, n_open * (n_cells - n_open)
