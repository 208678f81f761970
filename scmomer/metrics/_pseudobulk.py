"""Agreement of translated and measured mean profiles of groups of cells."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from scmomer._deprecated import renamed_arguments
from scmomer.metrics._checks import Matrix, check_matrix, check_pair, encode_labels

# A profile counts as constant if it varies by less than this share of its norm (rounding).
_MIN_VARIATION = 1e-9


@renamed_arguments(centred="centered")
def pseudobulk_pearson(
    truth: Matrix, score: Matrix, groups: ArrayLike, *, centered: bool = True
) -> float:
    r"""Mean over groups of the Pearson correlation of mean profiles, across features.

    .. math::

        \frac{1}{|G|} \sum_{g \in G}
        \mathrm{corr}(\bar{y}_g - \bar{y}, \; \bar{x}_g - \bar{x})

    with :math:`\bar{y}_g` the mean true profile of the cells in group :math:`g` and
    :math:`\bar{y}` that of all cells. Without centering, a constant prediction scores close to 1.

    Parameters
    ----------
    truth
        Measured values, shape ``(n_cells, n_features)``, used unchanged: pass binarized
        accessibility if ``score`` is a probability.
    score
        Predicted values, shape ``(n_cells, n_features)``.
    groups
        Group of each cell, shape ``(n_cells,)``. Cells without one (NaN, None) are left out, also
        of the overall profile.
    centered
        Subtract the mean profile of all cells from that of each group.

    Returns
    -------
    A value in [-1, 1]. A group with a constant profile counts 0.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or no cell has a group.
    """
    truth, score = check_pair(truth, score)
    codes = encode_labels("groups", groups, truth.shape[0])
    weights = np.bincount(codes[codes >= 0]) if centered else None
    true, predicted = (_unit_rows(_group_means(m, codes), weights) for m in (truth, score))
    return float((true * predicted).sum(axis=1).mean())


def pseudobulk_ceiling(
    truth: Matrix, groups: ArrayLike, *, n_splits: int = 5, random_state: int = 0
) -> float:
    r"""Centered :func:`pseudobulk_pearson` of a prediction without error.

    The noise of measured profiles, which is largest in small groups, limits the correlation. The
    cells of each group are split at random into halves, whose centered profiles have correlation
    :math:`r_g`. The profile of all cells then has reliability :math:`2 r_g / (1 + r_g)`
    (Spearman-Brown), whose square root is its correlation with the noise-free profile:

    .. math::

        \frac{1}{|G|} \sum_{g \in G} \sqrt{\frac{2 r_g}{1 + r_g}}

    Parameters
    ----------
    truth
        Measured values, shape ``(n_cells, n_features)``.
    groups
        Group of each cell, shape ``(n_cells,)``. Cells without one (NaN, None) and groups of one
        cell are left out.
    n_splits
        Number of random splits, over which :math:`r_g` is averaged; a group with a negative mean
        counts 0.
    random_state
        Seed of the splits.

    Returns
    -------
    A value in [0, 1].

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, no group has two cells, or ``n_splits`` is below 1.
    """
    truth = check_matrix("truth", truth)
    truth = sp.csr_array(truth) if sp.issparse(truth) else truth
    codes = encode_labels("groups", groups, truth.shape[0])
    if n_splits < 1:
        msg = f"Expected n_splits of at least 1, found {n_splits}."
        raise ValueError(msg)
    kept = np.flatnonzero(codes >= 0)
    kept = kept[np.bincount(codes[kept])[codes[kept]] > 1]
    if not len(kept):
        msg = "No group has at least two cells."
        raise ValueError(msg)
    codes = np.unique(codes[kept], return_inverse=True)[1]
    rng = np.random.default_rng(random_state)
    correlations = np.zeros(codes.max() + 1)
    for _ in range(n_splits):
        order = rng.permutation(len(kept))
        order = order[np.argsort(codes[order], kind="stable")]  # shuffled within groups
        sizes = np.bincount(codes)
        within = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        halves = [order[within % 2 == parity] for parity in (0, 1)]
        first, second = (
            _unit_rows(_group_means(truth[kept[half]], codes[half]), np.bincount(codes[half]))
            for half in halves
        )
        correlations += (first * second).sum(axis=1) / n_splits
    shared = np.maximum(correlations, 0)
    return float(np.sqrt(2 * shared / (1 + shared)).mean())


def _group_means(matrix: Matrix, codes: np.ndarray) -> np.ndarray:
    """Return the mean profile of each group, ``(n_groups, n_features)``."""
    rows = sp.csr_array(matrix) if sp.issparse(matrix) else matrix
    means = [rows[codes == g].mean(axis=0, dtype=np.float64) for g in range(codes.max() + 1)]
    return np.stack(means)


def _unit_rows(profiles: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Subtract the weighted mean profile, scale to mean 0 and norm 1, ``(n_groups, n_features)``.

    Constant rows become 0.
    """
    overall = 0.0 if weights is None else np.average(profiles, axis=0, weights=weights)
    deviations = profiles - overall
    deviations -= deviations.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(deviations, axis=1, keepdims=True)
    varies = norms > _MIN_VARIATION * np.linalg.norm(profiles, axis=1, keepdims=True)
    return np.divide(deviations, norms, out=np.zeros_like(deviations), where=varies)
