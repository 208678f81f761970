"""Blocks of columns, so that no metric densifies a whole matrix."""

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
    """Return ``matrix`` with fast column access: CSC if it is sparse."""
    return sparse.csc_array(matrix) if sparse.issparse(matrix) else matrix


def column_blocks(matrix: Matrix, chunk_size: int) -> Iterator[Matrix]:
    """Yield blocks of ``chunk_size`` columns, ``(n_rows, chunk)``; CSC if ``matrix`` is sparse.

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
