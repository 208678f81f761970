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
    narrow_rows,
    row_sums,
    sparse_linear,
    to_csr,
    to_dense,
    to_rows,
)
from scmomer.nn._rows import _drop_known_numbers

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


@pytest.mark.parametrize("fraction", [0.2, 1.0])
def test_drop_without_waiting_keeps_a_part_of_each_cell_in_order(table, fraction):
    rows = to_rows(sp.csr_matrix(table.numpy()))
    torch.manual_seed(0)
    dropped = _drop_known_numbers(rows, fraction)
    assert dropped.host_lengths.tolist() == dropped.lengths.tolist()
    before, after = to_dense(rows, 10), to_dense(dropped, 10)
    assert ((after == before) | (after == 0)).all()
    assert (after > 0).sum() == len(dropped.values) == dropped.host_lengths.sum()
    if fraction == 1:
        assert not len(dropped.values)
    within = dropped.row_ids[1:] == dropped.row_ids[:-1]
    assert (dropped.indices.diff()[within] > 0).all()


def test_drop_without_waiting_drops_each_count_on_its_own():
    n, k, fraction = 2000, 12, 0.3
    rows = to_rows(sp.csr_matrix(np.ones((n, k))))
    torch.manual_seed(0)
    kept = to_dense(_drop_known_numbers(rows, fraction), k)
    error = (fraction * (1 - fraction) / n) ** 0.5
    assert (kept.mean(0) - (1 - fraction)).abs().max() < 4 * error  # whatever the place
    covariance = torch.cov(kept.T)
    expected = fraction * (1 - fraction) * torch.eye(k)
    assert (covariance - expected).abs().max() < 0.03  # independent: standard error 0.005


def test_only_known_numbers_are_drawn_on_the_host(monkeypatch):
    rows = to_rows(sp.csr_matrix(np.ones((5, 8))))
    monkeypatch.setattr("scmomer.nn._rows.waits_for", lambda tensor: True)
    assert drop_entries(rows, 0.5).host_lengths is not None
    assert drop_entries(rows._replace(host_lengths=None), 0.5).host_lengths is None


def test_what_the_host_knows_of_lengths_is_true(table):
    rows = to_rows(sp.csr_matrix(table.numpy()))
    for same in (rows.to("cpu"), rows._replace(values=rows.values * 2), log_normalize(rows, 1e4)):
        assert same.host_lengths.tolist() == rows.lengths.tolist()
    assert keep_entries(rows, rows.values > 1).host_lengths is None


def test_narrow_rows_are_widened_on_the_way(table):
    matrix = sp.csr_matrix(table.numpy())
    narrow, rows = narrow_rows(matrix), to_rows(matrix)
    assert narrow.indices.dtype == torch.int32
    assert narrow.values.data_ptr() == matrix.data.ctypes.data or not matrix.nnz  # no copy
    for part, expected in zip(narrow.to("cpu")[:3], rows[:3], strict=True):
        assert torch.equal(part, expected) and part.dtype == expected.dtype


def test_minibatches_move_with_all_they_hold(table):
    rows = narrow_rows(sp.csr_matrix(table.numpy()))
    cells = CellBatch({"rna": rows}, {"rna": torch.zeros(6, 2)}, torch.arange(6), None)
    moved = cells.to("cpu")
    assert moved.counts["rna"].indices.dtype == torch.int64
    assert moved.encoded["rna"].shape == (6, 2) and moved.labels is None
    assert moved.batch.tolist() == list(range(6))


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
