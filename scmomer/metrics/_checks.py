"""Checks of the arguments of metrics."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike

#: Matrix with cells in rows: dense or any scipy sparse format.
Matrix: TypeAlias = np.ndarray | sp.spmatrix | sp.sparray


def check_matrix(name: str, matrix: Matrix) -> Matrix:
    """Return ``matrix`` as a finite, non-empty array of shape ``(n_cells, n_features)``.

    Parameters
    ----------
    name
        Name of the matrix in messages.
    matrix
        Values of shape ``(n_cells, n_features)``; sparse matrices stay sparse.

    Raises
    ------
    ValueError
        If it is not two-dimensional, is empty, or holds NaN or infinite values.
    """
    matrix = matrix if sp.issparse(matrix) else np.asarray(matrix)
    if matrix.ndim != 2 or 0 in matrix.shape:
        msg = (
            f"Expected `{name}` to be a non-empty matrix with cells in rows, "
            f"found shape {matrix.shape}."
        )
        raise ValueError(msg)
    # Minimum and maximum reveal NaN and infinity without a boolean copy of the matrix.
    if not np.isfinite([matrix.min(), matrix.max()]).all():
        msg = f"Expected `{name}` to be finite, found NaN or infinite values."
        raise ValueError(msg)
    return matrix


def check_pair(
    truth: Matrix, score: Matrix, names: tuple[str, str] = ("truth", "score")
) -> tuple[Matrix, Matrix]:
    """Return both matrices, checked and of the same shape ``(n_cells, n_features)``.

    Parameters
    ----------
    truth, score
        Values of shape ``(n_cells, n_features)``; sparse matrices stay sparse.
    names
        Names of the matrices in messages.

    Raises
    ------
    ValueError
        If a matrix is not finite, or if their shapes differ.
    """
    truth, score = check_matrix(names[0], truth), check_matrix(names[1], score)
    if truth.shape != score.shape:
        msg = (
            f"Expected `{names[1]}` to have the shape of `{names[0]}`, {truth.shape} "
            f"(cells x features), found {score.shape}."
        )
        raise ValueError(msg)
    return truth, score


def check_per_cell(name: str, values: ArrayLike, n_cells: int) -> np.ndarray:
    """Return ``values`` as an array of shape ``(n_cells,)``.

    Raises
    ------
    ValueError
        If ``values`` does not have one value per cell.
    """
    array = np.asarray(values)
    if array.shape != (n_cells,):
        msg = (
            f"Expected `{name}` to have one value per cell, shape ({n_cells},), "
            f"found {array.shape}."
        )
        raise ValueError(msg)
    return array


def encode_labels(name: str, labels: ArrayLike, n_cells: int) -> np.ndarray:
    """Return labels as codes 0, 1, ... of shape ``(n_cells,)``; missing labels are -1.

    Raises
    ------
    ValueError
        If there is not one label per cell, or all labels are missing.
    """
    codes = pd.factorize(check_per_cell(name, labels, n_cells))[0]
    if (codes < 0).all():
        msg = f"Expected `{name}` to label some cells, found NaN for all {n_cells}."
        raise ValueError(msg)
    return codes
