"""Scores of the predict-modality task of Open Problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

from scmomer.metrics._blocks import by_columns, column_blocks, dense
from scmomer.metrics._checks import Matrix, check_pair
from scmomer.metrics._correlation import pearson_columns, spearman_columns

#: Dense columns, ``(n_rows, chunk)``.
Block: TypeAlias = np.ndarray


def predict_modality(
    truth: Matrix, prediction: Matrix, *, chunk_size: int = 2048
) -> dict[str, float]:
    r"""Error and correlation of a predicted modality, as scored by Open Problems.

    For true :math:`y` and predicted :math:`x`, with :math:`n` cells and :math:`m` features,

    .. math::

        \mathrm{rmse} &= \sqrt{\frac{1}{nm} \sum_{ij} (x_{ij} - y_{ij})^2}, &
        \mathrm{mae} &= \frac{1}{nm} \sum_{ij} |x_{ij} - y_{ij}|, \\
        \mathrm{per\ cell} &= \frac{1}{n} \sum_i \mathrm{corr}(y_{i \cdot}, x_{i \cdot}), &
        \mathrm{per\ gene} &= \frac{1}{m} \sum_j \mathrm{corr}(y_{\cdot j}, x_{\cdot j}),

    and overall the correlation of all entries. A prediction that is the same for all cells scores
    high per cell and overall, and 0 per gene.

    Parameters
    ----------
    truth
        Measured values, shape ``(n_cells, n_features)``, on the scale of the prediction.
    prediction
        Predicted values, shape ``(n_cells, n_features)``.
    chunk_size
        Number of features per chunk, and of cells with as many entries; needs about
        ``90 * n_cells * chunk_size`` bytes. Overall ranks also need a sorted copy of the entries of
        each matrix, of the nonzero entries if it is sparse.

    Returns
    -------
    ``"rmse"`` and ``"mae"``, at least 0; and in [-1, 1] ``"mean_pearson_per_cell"``,
    ``"mean_spearman_per_cell"``, ``"mean_pearson_per_gene"``, ``"mean_spearman_per_gene"``,
    ``"overall_pearson"`` and ``"overall_spearman"``. A correlation with a constant is 0.

    Raises
    ------
    ValueError
        If shapes differ or a value is not finite.
    """
    truth, prediction = check_pair(truth, prediction, ("truth", "prediction"))
    n_cells, n_genes = truth.shape
    per_gene = _mean_correlations(truth, prediction, chunk_size)
    cells = max(1, n_cells * chunk_size // n_genes)
    per_cell = _mean_correlations(truth.T, prediction.T, cells)
    overall = _overall_correlations(truth, prediction, chunk_size)
    return {
        **_errors(truth, prediction, chunk_size),
        "mean_pearson_per_cell": per_cell[0],
        "mean_spearman_per_cell": per_cell[1],
        "mean_pearson_per_gene": per_gene[0],
        "mean_spearman_per_gene": per_gene[1],
        "overall_pearson": overall[0],
        "overall_spearman": overall[1],
    }


def _pairs(truth: Matrix, prediction: Matrix, chunk_size: int) -> Iterator[tuple[Block, Block]]:
    """Yield dense blocks of the same columns of both matrices, ``(n_rows, chunk)``."""
    blocks = (column_blocks(matrix, chunk_size) for matrix in (truth, prediction))
    for y, x in zip(*blocks, strict=True):
        yield dense(y), dense(x)


def _errors(truth: Matrix, prediction: Matrix, chunk_size: int) -> dict[str, float]:
    """Return root mean squared and mean absolute error over all entries."""
    squared = absolute = 0.0
    for y, x in _pairs(truth, prediction, chunk_size):
        error = np.subtract(x, y, dtype=np.float64)
        squared += np.vdot(error, error)
        absolute += np.abs(error).sum()
    n = truth.shape[0] * truth.shape[1]
    return {"rmse": float(np.sqrt(squared / n)), "mae": float(absolute / n)}


def _mean_correlations(truth: Matrix, prediction: Matrix, chunk_size: int) -> tuple[float, float]:
    """Return the means over columns of Pearson and Spearman correlation."""
    found = [
        (pearson_columns(y, x), spearman_columns(y, x))
        for y, x in _pairs(truth, prediction, chunk_size)
    ]
    pearson, spearman = (np.concatenate(values).mean() for values in zip(*found, strict=True))
    return float(pearson), float(spearman)


def _overall_correlations(
    truth: Matrix, prediction: Matrix, chunk_size: int
) -> tuple[float, float]:
    """Return Pearson and Spearman correlation of all entries; 0 if a matrix is constant."""
    if any(matrix.min() == matrix.max() for matrix in (truth, prediction)):
        return 0.0, 0.0
    means = [matrix.mean(dtype=np.float64) for matrix in (truth, prediction)]
    to_ranks = [_ranker(matrix) for matrix in (truth, prediction)]
    moments, rank_moments = np.zeros((2, 2)), np.zeros((2, 2))
    for pair in _pairs(truth, prediction, chunk_size):
        values = [
            np.subtract(block, mean, dtype=np.float64).ravel()
            for block, mean in zip(pair, means, strict=True)
        ]
        ranks = [rank(block) for block, rank in zip(pair, to_ranks, strict=True)]
        moments += np.inner(values, values)
        rank_moments += np.inner(ranks, ranks)
    pearson, spearman = (
        m[0, 1] / np.sqrt(m[0, 0]) / np.sqrt(m[1, 1]) for m in (moments, rank_moments)
    )
    return float(pearson), float(spearman)


def _ranker(matrix: Matrix) -> Callable[[Block], np.ndarray]:
    """Return a function for the ranks of entries in ``matrix``, minus the mean rank.

    Ties get their mean rank. Zeros of a sparse matrix are counted, not sorted.
    """
    n = matrix.shape[0] * matrix.shape[1]
    stored = by_columns(matrix).data if sp.issparse(matrix) else matrix
    ordered = np.sort(stored[stored != 0] if sp.issparse(matrix) else stored, axis=None)
    n_zeros = n - ordered.size

    def ranks(block: Block) -> np.ndarray:
        distinct, where = np.unique(block, return_inverse=True)
        below = np.searchsorted(ordered, distinct, side="left") + n_zeros * (distinct > 0)
        upto = np.searchsorted(ordered, distinct, side="right") + n_zeros * (distinct >= 0)
        return ((below + upto - n) / 2)[where.ravel()]

    return ranks
