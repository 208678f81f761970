"""Cells as arrays: a minibatch is the rows of the matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scmomer.data import Cells
from scmomer.nn import to_rows


def as_matrix(rows, n_features: int) -> np.ndarray:
    """A minibatch as a dense array."""
    parts = (rows.values.numpy(), rows.indices.numpy(), rows.indptr.numpy())
    return sp.csr_matrix(parts, shape=(rows.n_rows, n_features)).toarray()


@pytest.mark.parametrize(
    "index", [[0], [5, 2, 2, 59], [], np.arange(60)[::-1], np.array([3, 1], np.int32)], ids=str
)
def test_minibatch_is_the_rows(make_cells, index):
    cells = make_cells(without={"rna": [2, 5]})
    cells.batch, cells.labels = np.arange(60) % 4, -np.arange(60)
    cells.embeddings = {"rna": torch.randn(60, 8)}
    index = np.asarray(index, np.int64) if len(index) == 0 else index
    tensors = cells.minibatch(index, ("rna", "atac"))
    for modality, n_features in (("rna", 30), ("atac", 40)):
        expected = cells.counts[modality][index].toarray()
        np.testing.assert_array_equal(as_matrix(tensors.counts[modality], n_features), expected)
    np.testing.assert_array_equal(tensors.batch, cells.batch[index])
    np.testing.assert_array_equal(tensors.labels, cells.labels[index])
    assert torch.equal(tensors.encoded["rna"], cells.embeddings["rna"][np.array(index)])


def test_minibatch_has_only_what_is_asked_for(make_cells):
    tensors = make_cells().minibatch([0, 1], ("atac",))
    assert set(tensors.counts) == {"atac"} and tensors.batch is tensors.labels is None


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint8])
def test_rows_have_the_types_that_the_network_reads(dtype):
    rows = to_rows(sp.csr_matrix(np.array([[0, 3], [1, 0]], dtype)))
    assert rows.indptr.dtype == rows.indices.dtype == torch.int64
    assert rows.values.dtype == torch.float32 and rows.values.tolist() == [3, 1]


def test_sizes_and_pairs(make_cells):
    cells = make_cells(without={"rna": [0, 1], "atac": [1, 7]})
    assert cells.n_cells == 60
    assert np.flatnonzero(~cells.paired).tolist() == [0, 1, 7]
    np.testing.assert_array_equal(cells.lengths("rna"), (cells.counts["rna"] > 0).sum(1).A1)
    assert cells.lengths("atac")[[1, 7]].tolist() == [0, 0]
    only = Cells({"rna": cells.counts["rna"]}, {"rna": cells.measured["rna"]})
    assert np.flatnonzero(~only.paired).tolist() == [0, 1]
