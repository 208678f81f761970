"""Raw counts out of any container."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from scmomer.data._counts import get_counts

DENSE = np.array([[0, 3, 0, 1], [0, 0, 0, 0], [2, 0, 0, 4]], np.float32)


def cells(matrix, **kwargs) -> AnnData:
    """Cells ``c0`` and so on, features ``f0`` and so on."""
    obs = pd.DataFrame(index=[f"c{i}" for i in range(matrix.shape[0])])
    var = pd.DataFrame(index=[f"f{i}" for i in range(matrix.shape[1])])
    return AnnData(matrix, obs=obs, var=var, **kwargs)


def is_canonical(counts) -> bool:
    """Whether counts are a CSR matrix in the one form that the rest of scmomer expects."""
    order = all(
        (np.diff(counts.indices[a:b]) > 0).all()
        for a, b in zip(counts.indptr, counts.indptr[1:], strict=False)
    )
    return (
        type(counts) is sp.csr_matrix and counts.dtype == np.float32 and order and counts.data.all()
    )


def test_matrix_types_give_the_same(as_matrix):
    binary = sp.csr_matrix((DENSE > 0).astype(np.float32))
    counts = get_counts(_with(as_matrix(_wide(binary))), None, "adata")
    assert is_canonical(counts)
    assert np.array_equal(counts.toarray(), _wide(binary).toarray())


def _wide(matrix: sp.csr_matrix) -> sp.csr_matrix:
    return sp.vstack([matrix] * 3, format="csr")


def _with(matrix) -> SimpleNamespace:
    """What ``get_counts`` reads of an AnnData, with a matrix as it is."""
    obs_names = pd.Index([f"c{i}" for i in range(matrix.shape[0])])
    var_names = pd.Index([f"f{i}" for i in range(matrix.shape[1])])
    return SimpleNamespace(X=matrix, layers={}, obs_names=obs_names, var_names=var_names)


@pytest.mark.parametrize(
    "convert",
    [sp.coo_matrix, sp.coo_array, sp.lil_matrix, sp.dok_matrix, sp.bsr_matrix],
    ids=lambda c: c.__name__,
)
def test_types_that_only_older_anndata_hold_give_the_same(convert):
    counts = get_counts(_with(convert(DENSE)), None, "adata")
    assert is_canonical(counts) and np.array_equal(counts.toarray(), DENSE)


def test_containers_give_the_same(mdata, as_container):
    found = get_counts(as_container(mdata["rna"]), None, "adata")
    assert is_canonical(found) and (found != mdata["rna"].X).nnz == 0


def test_layers_are_read(as_container, mdata):
    adata = mdata["rna"]
    adata.layers["counts"] = adata.X.copy()
    adata.layers["twice"] = 2 * adata.X
    assert (get_counts(adata, "twice", "adata") != 2 * adata.X).nnz == 0
    assert (get_counts(as_container(adata), "counts", "adata") != adata.X).nnz == 0


def test_canonical_counts_are_not_copied():
    adata = cells(sp.csr_matrix(DENSE))
    assert np.shares_memory(get_counts(adata, None, "adata").data, adata.X.data)


def test_duplicate_entries_are_summed_in_a_copy():
    rows = np.array([0, 0, 0, 2]), np.array([1, 1, 3, 0])
    matrix = sp.csr_matrix(DENSE.shape, dtype=np.float32)
    matrix.indptr, matrix.indices = np.array([0, 3, 3, 4]), rows[1].copy()
    matrix.data = np.array([1, 2, 1, 2], np.float32)
    adata = cells(matrix)
    counts = get_counts(adata, None, "adata")
    assert is_canonical(counts)
    assert counts.toarray().tolist() == [[0, 3, 0, 1], [0, 0, 0, 0], [2, 0, 0, 0]]
    assert adata.X.nnz == 4 and adata.X.data.tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_what_is_wrong_is_named_with_its_cell_and_feature(refuses, kind):
    matrix = DENSE.copy()
    matrix[2, 0], matrix[2, 3] = 0.25, 1.5
    adata = cells({"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.array}[kind](matrix))
    place = "raw counts in data.X"
    found = "2 of 4 stored ones, for example 0.25 at cell 'c2', feature 'f0'"
    with refuses(ValueError, place, "non-integer", found, "layer"):
        get_counts(adata, None, "data")


def test_the_first_cell_and_the_last_are_named_right(refuses):
    for row, column in ((0, 0), (2, 3)):
        matrix = DENSE.copy()
        matrix[row, column] = -7
        with refuses(ValueError, "negative", f"-7 at cell 'c{row}', feature 'f{column}'"):
            get_counts(cells(sp.csr_matrix(matrix)), None, "data")


def test_negative_integers_are_refused(refuses):
    matrix = DENSE.astype(np.int32)
    matrix[0, 0] = -1
    with refuses(ValueError, "negative", "1 of 5", "-1 at"):
        get_counts(cells(matrix), None, "data")


@pytest.mark.parametrize("dtype", [complex, "U3", object], ids=["complex", "text", "object"])
def test_what_are_no_numbers_is_refused(refuses, dtype):
    with refuses(TypeError, "numbers in data.X", f"dtype {np.dtype(dtype)}"):
        get_counts(_with(DENSE.astype(dtype)), None, "data")


def test_an_unknown_kind_of_matrix_is_refused(refuses):
    table = pd.DataFrame(DENSE)
    with refuses(TypeError, "NumPy array or a SciPy sparse matrix", "DataFrame", "to_memory()"):
        get_counts(_with(table), None, "data")
