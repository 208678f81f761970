"""How well translated accessibility ranks the cells of each peak."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from scmomer.metrics._checks import Matrix, check_pair, check_per_cell
from scmomer.metrics._rank import auroc_per_peak, depth_strata


def peak_auroc(
    truth: Matrix, score: Matrix, *, min_positives: int = 10, chunk_size: int = 2048
) -> float:
    r"""Mean over peaks of the area under the ROC curve across cells.

    .. math::

        \frac{1}{|J|} \sum_{j \in J} \mathrm{AUROC}(y_{\cdot j} > 0, x_{\cdot j}), \qquad
        J = \{j : j \text{ is open in at least min_positives cells, closed in at least one}\}

    A score that depends only on the cell's depth scores well here; see
    :func:`~scmomer.metrics.peak_auroc_within_depth`, and
    :func:`~scmomer.metrics.auroc_per_peak` for the value of each peak.

    Parameters
    ----------
    truth
        Accessibility, shape ``(n_cells, n_peaks)``; a peak is open where it is above zero.
    score
        Predicted accessibility on any scale, shape ``(n_cells, n_peaks)``. Ties count one half.
    min_positives
        Peaks that are open in fewer cells are left out.
    chunk_size
        Number of peaks per chunk.

    Returns
    -------
    A value in [0, 1]; 0.5 for a score that is the same for all cells.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or no peak can be scored.
    """
    per_peak = auroc_per_peak(truth, score, min_positives=min_positives, chunk_size=chunk_size)
    return float(np.nanmean(per_peak))


def peak_auroc_within_depth(
    truth: Matrix,
    score: Matrix,
    *,
    depth: ArrayLike | None = None,
    n_strata: int = 10,
    min_positives: int = 10,
    chunk_size: int = 2048,
) -> float:
    r"""Mean over peaks of the AUROC across cells of similar depth.

    As :func:`~scmomer.metrics.peak_auroc`, but an open and a closed cell are compared only if both
    are in the same stratum :math:`s` of depth, so that depth does not help:

    .. math::

        \frac{1}{|J|} \sum_{j \in J} \frac{\sum_s U_{sj}}{\sum_s n^+_{sj} n^-_{sj}}

    with :math:`U_{sj}` the Mann-Whitney statistic of the :math:`n^+_{sj}` open against the
    :math:`n^-_{sj}` closed cells.

    Parameters
    ----------
    truth
        Accessibility, shape ``(n_cells, n_peaks)``; a peak is open where it is above zero.
    score
        Predicted accessibility on any scale, shape ``(n_cells, n_peaks)``. Ties count one half.
    depth
        Depth of each cell, shape ``(n_cells,)``; by default the number of open peaks.
    n_strata
        Number of strata of equal size, by depth.
    min_positives
        Peaks that are open in fewer cells, over all strata, are left out.
    chunk_size
        Number of peaks per chunk.

    Returns
    -------
    A value in [0, 1]; 0.5 for a score that is the same for all cells of a stratum.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or no peak can be scored.
    """
    truth, score = check_pair(truth, score)
    depth = (truth > 0).sum(axis=1) if depth is None else depth
    depth = check_per_cell("depth", np.ravel(depth), truth.shape[0])
    strata = depth_strata(depth, n_strata)
    per_peak = auroc_per_peak(
        truth, score, strata=strata, min_positives=min_positives, chunk_size=chunk_size
    )
    return float(np.nanmean(per_peak))
