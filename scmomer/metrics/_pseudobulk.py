"""How well translated profiles of groups of cells match the measured ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from ._checks import Matrix, check_matrix, check_pair, encode_labels

# A profile that varies by less than this share of its norm is constant up to rounding of a mean.
_CONSTANT = 1e-9


def pseudobulk_pearson(
    truth: Matrix, score: Matrix, groups: ArrayLike, *, centred: bool = True
) -> float:
    r"""Mean over groups of the Pearson correlation between mean profiles, across features.

    .. math::

        \frac{1}{|G|} \sum_{g \in G}
        \mathrm{corr}(\bar{y}_g - \bar{y}, \; \bar{x}_g - \bar{x})

    with :math:`\bar{y}_g` the mean true profile of the cells in group :math:`g` and
    :math:`\bar{y}` that of all cells. Without centring a constant prediction scores close to 1.

    Parameters
    ----------
    truth
        Measured values, shape ``(n_cells, n_features)``, taken as they are: pass binarised
        accessibility where ``score`` is a probability.
    score
        Predicted values, shape ``(n_cells, n_features)``.
    groups
        Group of each cell, shape ``(n_cells,)``. Cells without one (NaN, None) are left out, of
        the overall profile too.
    centred
        Whether to subtract the mean profile of all cells from that of each group.

    Returns
    -------
    A value in [-1, 1]. A group in which either profile is constant counts 0.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or no cell has a group.
    """
    truth, score = check_pair(truth, score)
    codes = encode_labels("groups", groups, truth.shape[0])
    weights = np.bincount(codes[codes >= 0]) if centred else None
    true, predicted = (_unit_rows(_group_means(m, codes), weights) for m in (truth, score))
    return float((true * predicted).sum(axis=1).mean())


def pseudobulk_ceiling(
    truth: Matrix, groups: ArrayLike, *, n_splits: int = 5, random_state: int = 0
) -> float:
    r"""Centred :func:`pseudobulk_pearson` that a prediction without any error would have.

    Measured profiles of small groups are noisy, and nothing correlates with noise. The cells of
    each group are split at random into halves whose centred profiles correlate with
    :math:`r_g`, so that those of all its cells have reliability :math:`2 r_g / (1 + r_g)`
    (Spearman-Brown), the root of which is the correlation with the profile without noise:

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
        Random splits, over which :math:`r_g` is averaged; where that is negative the group counts
        0.
    random_state
        Seed of the splits.

    Returns
    -------
    A value in [0, 1].

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, no group has two cells, or there are no splits.
    """
    truth = check_matrix("truth", truth)
    truth = sparse.csr_array(truth) if sparse.issparse(truth) else truth
    codes = encode_labels("groups", groups, truth.shape[0])
    if n_splits < 1:
        msg = f"Expected n_splits of at least 1, found {n_splits}."
        raise ValueError(msg)
    kept = np.flatnonzero(codes >= 0)
    kept = kept[np.bincount(codes[kept])[codes[kept]] > 1]
    if not len(kept):
        msg = "Expected a group of at least two cells, found none: pass groups that cells share."
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
        one, other = (
            _unit_rows(_group_means(truth[kept[half]], codes[half]), np.bincount(codes[half]))
            for half in halves
        )
        correlations += (one * other).sum(axis=1) / n_splits
    shared = np.maximum(correlations, 0)
    return float(np.sqrt(2 * shared / (1 + shared)).mean())


def _group_means(matrix: Matrix, codes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Mean profile of each group, ``(n_groups, n_features)``."""
    rows = sparse.csr_array(matrix) if sparse.issparse(matrix) else matrix
    means = [rows[codes == g].mean(axis=0, dtype=np.float64) for g in range(codes.max() + 1)]
    return np.stack(means)


def _unit_rows(
    profiles: NDArray[np.float64], weights: NDArray[np.intp] | None
) -> NDArray[np.float64]:
    """Rows less their weighted mean profile, of mean 0 and norm 1; ``(n_groups, n_features)``.

    A row that is constant on the scale of the profiles becomes 0.
    """
    overall = 0.0 if weights is None else np.average(profiles, axis=0, weights=weights)
    deviations = profiles - overall
    deviations -= deviations.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(deviations, axis=1, keepdims=True)
    varies = norms > _CONSTANT * np.linalg.norm(profiles, axis=1, keepdims=True)
    return np.divide(deviations, norms, out=np.zeros_like(deviations), where=varies)
