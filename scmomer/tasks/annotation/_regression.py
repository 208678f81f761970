"""L2 logistic regression, and the cells that it is fitted to."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from scmomer.tasks.annotation._subsample import stratified_stride

N_FOLDS = 3  # of cross-validation
TOL = 1e-2
_MAX_FIT_CELLS = 20_000  # linear weights of a few thousand genes need no more
_MIN_CELLS_PER_CLASS = 100  # kept in the subsample, if the class has them

Weights = tuple[np.ndarray, np.ndarray]
"""Coefficients ``(n_inputs, n_present)`` and intercepts ``(n_present,)`` of the classes present."""


def l2_regression(x: np.ndarray | sp.csr_matrix, codes: np.ndarray, tol: float = TOL) -> Weights:
    """Fit multinomial regression with C=1 to inputs ``(n, n_inputs)`` and classes ``(n,)``."""
    regression = LogisticRegression(C=1.0, max_iter=1000, tol=tol).fit(x, codes)
    weights, starts = regression.coef_, regression.intercept_
    if len(starts) == 1:  # of two classes, there is one set of weights, for the second
        weights, starts = np.vstack([0 * weights, weights]), np.r_[0, starts]
    return weights.T, starts


def l2_of_standardized(x: np.ndarray, codes: np.ndarray, tol: float = TOL) -> Weights:
    """Fit :func:`l2_regression` to standardized inputs; return weights of the inputs as they are."""
    mean, std = x.mean(0), x.std(0)
    # Components beyond the rank are rounding error, which standardization would amplify.
    scale = np.divide(1, std, out=np.zeros_like(std), where=std > 1e-6 * std.max())
    weights, starts = l2_regression((x - mean) * scale, codes, tol)
    weights = scale[:, None] * weights
    return weights, starts - mean @ weights


def fit_cells(codes: np.ndarray) -> np.ndarray:
    """Return about `_MAX_FIT_CELLS` cells, evenly spaced in each class; all cells of rare ones."""
    step = -(-len(codes) // _MAX_FIT_CELLS)
    return stratified_stride(codes, np.clip(np.bincount(codes) // _MIN_CELLS_PER_CLASS, 1, step))
