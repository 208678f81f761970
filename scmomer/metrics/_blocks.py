"""Blocks of columns, so that no metric densifies a whole matrix."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from scmomer.metrics._checks import Matrix


def dense(matrix: Matrix) -> np.ndarray:
    """Return ``matrix`` as an array of its shape."""
    return np.asarray(matrix) if isinstance(matrix, np.ndarray) else matrix.toarray()


def by_columns(matrix: Matrix) -> Matrix:
    """Return ``matrix`` with fast column access: CSC if it is sparse."""
    return sp.csc_array(matrix) if sp.issparse(matrix) else matrix


def column_blocks(matrix: Matrix, chunk_size: int) -> Iterator[Matrix]:
    """Yield blocks of ``chunk_size`` columns, ``(n_rows, chunk)``; CSC if ``matrix`` is sparse.

    Raises
    ------
    ValueError
        If ``chunk_size`` is below 1.
    """
    if chunk_size < 1:
        msg = f"Expected `chunk_size` to be at least 1, found {chunk_size}."
        raise ValueError(msg)
    matrix = by_columns(matrix)
    for start in range(0, matrix.shape[1], chunk_size):
        yield matrix[:, start : start + chunk_size]


def open_entries(truth: Matrix, chunk_size: int) -> sp.csc_array:
    """Return where ``truth`` is above zero, ``(n_cells, n_peaks)``, sparse and boolean.

    Raises
    ------
    ValueError
        If ``chunk_size`` is below 1.
    """
    opened = [sp.csc_array(block > 0) for block in column_blocks(truth, chunk_size)]
    return sp.csc_array(sp.hstack(opened, format="csc"))
