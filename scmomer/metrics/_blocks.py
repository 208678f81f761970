"""Columns in blocks, so that no metric makes a whole matrix dense."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ._checks import Matrix


def dense(matrix: Matrix) -> NDArray[np.number]:
    """Return ``matrix`` as an array of its shape."""
    return np.asarray(matrix) if isinstance(matrix, np.ndarray) else matrix.toarray()


def by_columns(matrix: Matrix) -> Matrix:
    """Return ``matrix`` such that columns are quick to take: a sparse one as CSC."""
    return sparse.csc_array(matrix) if sparse.issparse(matrix) else matrix


def column_blocks(matrix: Matrix, chunk_size: int) -> Iterator[Matrix]:
    """Yield ``chunk_size`` columns at a time, ``(n_rows, chunk)``; of a sparse matrix as CSC.

    Raises
    ------
    ValueError
        If ``chunk_size`` is below 1.
    """
    if chunk_size < 1:
        raise ValueError(f"Expected `chunk_size` to be at least 1, found {chunk_size}.")
    matrix = by_columns(matrix)
    for start in range(0, matrix.shape[1], chunk_size):
        yield matrix[:, start : start + chunk_size]


def open_entries(truth: Matrix, chunk_size: int) -> sparse.csc_array:
    """Return where ``truth`` is above zero, ``(n_cells, n_peaks)``, sparse and boolean.

    Raises
    ------
    ValueError
        If ``chunk_size`` is below 1.
    """
    opened = [sparse.csc_array(block > 0) for block in column_blocks(truth, chunk_size)]
    return sparse.csc_array(sparse.hstack(opened, format="csc"))
