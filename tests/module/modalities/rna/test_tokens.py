"""Tokens: bins by hand and by a naive loop, padding, masking."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from scmomer.module.modalities.rna._tokens import (
    length_groups,
    log2_bins,
    mask_tokens,
    pad_all,
    pad_expressed,
    quantile_bins,
)
from scmomer.nn import SparseRows


def naive_quantile_bins(dense: np.ndarray, n_bins: int) -> np.ndarray:
    """Bins from mid-ranks, cell by cell and in exact arithmetic; 0 where not expressed."""
    out = np.zeros(dense.shape, np.int64)
    for cell, bins in zip(dense, out, strict=True):
        expressed = cell > 0
        n = int(expressed.sum())
        middles = [Fraction(rank) - Fraction(1, 2) for rank in rankdata(cell[expressed]).tolist()]
        bins[expressed] = [ceil(n_bins * middle / n) for middle in middles]
    return out


def as_table(rows: SparseRows, bins: torch.Tensor, n_features: int) -> np.ndarray:
    """Bins as a dense table."""
    out = np.zeros((rows.n_rows, n_features), np.int64)
    out[rows.row_ids.numpy(), rows.indices.numpy()] = bins.numpy()
    return out


def test_log2_bins_by_hand(sparse):
    values = [0.2, 0.5, 0.51, 1.4999, 1.5, 2.5, 3.5, 4.49, 4.5, 5.4, 9.0]
    expected = [0, 0, 1, 1, 2, 2, 4, 4, 4, 5, 5]  # half to even, capped
    assert log2_bins(sparse([values]), 5).tolist() == expected
    assert log2_bins(sparse([values]), 3).tolist() == [min(b, 3) for b in expected]
    floored = [0, 0, 0, 1, 1, 2, 3, 4, 4, 5, 5]  # as scBERT
    assert log2_bins(sparse([values]), 5, floor=True).tolist() == floored


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.4, 0.9])
@pytest.mark.parametrize("n", [8, 64, 100])
def test_groups_keep_padding_under_a_tenth(n, spread):
    rng = np.random.default_rng(0)
    pool = np.sort(np.exp(rng.normal(6, spread, 8 * n)).astype(int) + 1)
    computed = used = 0
    for batch in np.split(pool, 8):  # as the loader makes them
        groups = length_groups(batch) or ((0, n, int(batch.max())),)
        assert [start for start, *_ in groups] == [0, *(stop for _, stop, _ in groups[:-1])]
        assert groups[-1][1] == n
        assert len(groups) <= 8
        assert all(batch[a:b].max() == longest for a, b, longest in groups)
        computed += sum((b - a) * longest for a, b, longest in groups)
        used += int(batch.sum())
    assert computed <= 1.1 * used


def test_groups_of_odd_batches():
    assert length_groups(np.array([], int)) == ()
    assert length_groups(np.array([5, 5, 5])) == ()
    assert length_groups(np.array([0, 0])) == ((0, 1, 1), (1, 2, 1))
    assert length_groups(np.array([100, 10])) == ((0, 1, 100), (1, 2, 10))


@pytest.mark.parametrize("n_bins", [1, 2, 5, 7])
@pytest.mark.parametrize("empty", [(), (0,), (2, 3), (7,), tuple(range(8))], ids=str)
def test_quantile_bins_equal_naive_ranks(counts, sparse, n_bins, empty):
    dense = counts(8, 40, density=0.6, empty=empty)  # values 1..8: many ties
    rows = sparse(dense)
    found = as_table(rows, quantile_bins(rows, n_bins), 40)
    np.testing.assert_array_equal(found, naive_quantile_bins(dense.numpy(), n_bins))


def test_quantile_bins_without_ties_are_equally_filled(sparse):
    torch.manual_seed(0)
    bins = quantile_bins(sparse(torch.rand(3, 50) + 0.1), 5).view(3, 50)
    assert (torch.stack([(bins == b).sum(1) for b in range(1, 6)]) == 10).all()


def test_quantile_bins_of_one_value_are_in_the_middle(sparse):
    assert set(quantile_bins(sparse(torch.ones(2, 9)), 5).tolist()) == {3}


def test_quantile_bins_do_not_depend_on_order(counts, sparse):
    dense = counts(6, 30, density=0.5)
    genes, cells = torch.randperm(30), torch.randperm(6)
    shuffled = dense[cells][:, genes]
    found = as_table(sparse(shuffled), quantile_bins(sparse(shuffled), 5), 30)
    expected = as_table(sparse(dense), quantile_bins(sparse(dense), 5), 30)
    np.testing.assert_array_equal(found, expected[cells.numpy()][:, genes.numpy()])


@pytest.mark.parametrize("empty", [(), (0, 4), tuple(range(5))], ids=str)
def test_pad_expressed_round_trip(counts, sparse, empty):
    dense = counts(5, 20, empty=empty)
    rows = sparse(dense)
    bins = quantile_bins(rows, 5)
    tokens = pad_expressed(rows, bins)
    assert tokens.valid.shape[1] == max(1, int((dense > 0).sum(1).max()))
    assert torch.equal(tokens.valid.sum(1), rows.lengths)
    assert torch.equal(tokens.genes[tokens.valid], rows.indices)
    assert torch.equal(tokens.bins[tokens.valid], bins)
    assert torch.equal(tokens.values[tokens.valid], rows.values)
    for part in (tokens.genes, tokens.bins, tokens.values):
        assert (part[~tokens.valid] == 0).all()


@pytest.mark.parametrize("empty", [(), (0, 4), tuple(range(5))], ids=str)
def test_pad_all_round_trip(counts, sparse, empty):
    dense = counts(5, 20, empty=empty)
    rows = sparse(dense)
    bins = quantile_bins(rows, 5)
    tokens = pad_all(rows, bins, 20)
    assert torch.equal(tokens.values, dense)
    assert torch.equal(tokens.genes, torch.arange(20).expand(5, -1))
    np.testing.assert_array_equal(tokens.bins.numpy(), as_table(rows, bins, 20))
    assert tokens.valid.all()


@pytest.mark.parametrize("form", ["expressed", "all"])
def test_mask_tokens_hides_expressed_genes_only(counts, sparse, form):
    torch.manual_seed(0)
    rows = sparse(counts(200, 100, density=0.5, empty=(0, 100, 199)))
    bins = quantile_bins(rows, 5)
    tokens = pad_expressed(rows, bins) if form == "expressed" else pad_all(rows, bins, 100)
    shown, chosen = mask_tokens(tokens, 0.15, mask_bin=6)
    expressed = tokens.values > 0
    assert not (chosen & ~expressed).any()
    hidden = shown.bins == 6
    assert not (hidden & ~chosen).any()
    assert (shown.values[hidden] == 0).all()
    assert torch.equal(shown.bins[~hidden], tokens.bins[~hidden])
    assert torch.equal(shown.values[~hidden], tokens.values[~hidden])
    assert torch.equal(shown.genes, tokens.genes) and torch.equal(shown.valid, tokens.valid)
    # About 9,900 expressed genes: standard errors 0.004 and, of those chosen, 0.008.
    assert abs(float(chosen.sum() / expressed.sum()) - 0.15) < 0.015
    assert abs(float(hidden.sum() / chosen.sum()) - 0.9) < 0.03


def test_mask_tokens_at_the_ends(counts, sparse):
    rows = sparse(counts(4, 10))
    tokens = pad_expressed(rows, quantile_bins(rows, 5))
    nothing, none = mask_tokens(tokens, 0.0, 6)
    assert not none.any() and torch.equal(nothing.bins, tokens.bins)
    _, every = mask_tokens(tokens, 1.0, 6)
    assert torch.equal(every, tokens.valid)
