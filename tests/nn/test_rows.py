"""Sparse minibatches against their dense form."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scmomer.nn import (
    CellBatch,
    SparseRows,
    drop_entries,
    keep_entries,
    log_normalize,
    row_sums,
    sparse_linear,
    to_csr,
    to_dense,
    to_rows,
)

# Empty cells at the start, in the middle, at the end, several in a row, all.
EMPTY = [(), (0,), (3,), (5,), (0, 1, 3, 5), (0, 1, 2, 3, 4, 5)]


@pytest.fixture(params=EMPTY, ids=str)
def table(request, counts) -> torch.Tensor:
    """Six cells and ten features, some cells without counts."""
    return counts(6, 10, empty=request.param)


def test_dense_round_trip(table, sparse):
    rows = sparse(table)
    assert torch.equal(to_dense(rows, 10), table)
    assert rows.n_rows == 6
    assert torch.equal(rows.lengths, (table > 0).sum(1))
    assert torch.equal(rows.row_ids, table.nonzero()[:, 0])


def test_row_sums(table, sparse):
    torch.testing.assert_close(row_sums(sparse(table)), table.sum(1))


def test_log_normalize_equals_numpy(table, sparse):
    dense = table.numpy().astype(np.float64)
    totals = np.maximum(dense.sum(1, keepdims=True), 1e-12)
    expected = np.log2(1 + dense / totals * 1e4)
    found = to_dense(log_normalize(sparse(table), 1e4), 10).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_log_normalize_does_not_depend_on_depth(counts, sparse):
    table = counts(4, 10)
    once, thrice = log_normalize(sparse(table), 1e4), log_normalize(sparse(3 * table), 1e4)
    torch.testing.assert_close(once.values, thrice.values)


def test_keep_entries(table, sparse):
    rows = sparse(table)
    torch.manual_seed(0)
    keep = torch.rand(rows.values.shape) < 0.5
    expected = table.clone()
    expected[rows.row_ids[~keep], rows.indices[~keep]] = 0
    kept = keep_entries(rows, keep)
    assert torch.equal(to_dense(kept, 10), expected)
    assert torch.equal(kept.lengths, (expected > 0).sum(1))


@pytest.mark.parametrize("value", [True, False])
def test_keep_all_or_nothing(table, sparse, value):
    rows = sparse(table)
    kept = keep_entries(rows, torch.full(rows.values.shape, value))
    assert torch.equal(to_dense(kept, 10), table if value else torch.zeros_like(table))


def test_drop_entries_drops_about_the_share(counts, sparse):
    torch.manual_seed(0)
    rows = sparse(counts(50, 200, empty=(0, 20, 49)))
    dropped = drop_entries(rows, 0.2)
    left = len(dropped.values) / len(rows.values)
    assert abs(left - 0.8) < 0.03  # about 2,800 entries: standard error 0.008
    dense = to_dense(rows, 200)
    assert ((to_dense(dropped, 200) == dense) | (to_dense(dropped, 200) == 0)).all()
    assert drop_entries(rows, 0.0) is rows


def test_drop_entries_of_empty_cells(sparse):
    dropped = drop_entries(sparse(torch.zeros(3, 4)), 0.5)
    assert dropped.n_rows == 3 and len(dropped.values) == 0


def test_sparse_linear_equals_dense(table, sparse):
    rows = sparse(table, torch.float64)
    weight = torch.randn(10, 4, dtype=torch.float64, requires_grad=True)
    found, expected = sparse_linear(rows, weight), table.double() @ weight
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, weight, direction)[0],
        torch.autograd.grad(expected, weight, direction)[0],
    )


def test_order_of_stored_entries_does_not_matter():
    one = SparseRows(torch.tensor([0, 3]), torch.tensor([0, 2, 4]), torch.tensor([1.0, 2.0, 3.0]))
    other = SparseRows(torch.tensor([0, 3]), torch.tensor([4, 0, 2]), torch.tensor([3.0, 1.0, 2.0]))
    weight = torch.randn(5, 3)
    torch.testing.assert_close(sparse_linear(one, weight), sparse_linear(other, weight))
    assert torch.equal(to_dense(one, 5), to_dense(other, 5))


def test_matrices_become_rows_and_back(table, sparse):
    matrix = sp.csr_matrix(table.numpy().astype(np.uint8))
    rows = to_rows(matrix)
    assert all(torch.equal(*parts) for parts in zip(rows[:3], sparse(table), strict=False))
    assert [part.dtype for part in rows[:3]] == [torch.int64, torch.int64, torch.float32]
    assert rows.host_lengths.tolist() == rows.lengths.tolist()
    again = to_csr(rows, 10)
    assert again.shape == (6, 10) and (again != matrix).nnz == 0


def test_a_minibatch_may_have_counts_alone(table, sparse):
    cells = CellBatch({"rna": sparse(table)})
    assert cells.n_cells == 6 and cells.encoded == {}
    assert cells.batch is None and cells.labels is None
