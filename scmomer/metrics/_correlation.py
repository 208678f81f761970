"""Correlation of many pairs of vectors."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def pearson_columns(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation of each pair of columns, ``(n_columns,)``.

    Inputs are ``(n_rows, n_columns)``. The correlation is 0 if a column is constant or the result
    is not finite.
    """
    varies = (x.max(axis=0) > x.min(axis=0)) & (y.max(axis=0) > y.min(axis=0))
    x, y = (_unit_columns(values) for values in (x, y))
    correlation = np.einsum("ij,ij->j", x, y)
    return np.where(varies & np.isfinite(correlation), correlation, 0.0).clip(-1, 1)


def spearman_columns(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the Spearman correlation of each pair of columns, see :func:`pearson_columns`."""
    return pearson_columns(rankdata(x, axis=0), rankdata(y, axis=0))


def _unit_columns(values: np.ndarray) -> np.ndarray:
    """Scale columns to mean 0 and norm 1, ``(n_rows, n_columns)``; NaN where a norm is 0."""
    deviations = values - values.mean(axis=0, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations /= np.linalg.norm(deviations, axis=0)
    return deviations
