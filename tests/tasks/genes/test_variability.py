"""Variance of embeddings between groups, free of chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.genes import combine, equal_cells, variability

RNG = np.random.default_rng(0)


def sample(centers: np.ndarray, n_cells: np.ndarray, n_genes: int = 400):
    """Statistics of genes with the same centers, ``(dim, n_groups)``, and noise of variance 1."""
    dim, n_groups = centers.shape
    mean = np.empty((n_genes, dim, n_groups))
    variance = np.empty((n_genes, n_groups))
    for k, n in enumerate(n_cells):
        tokens = centers[:, k] + RNG.normal(size=(n_genes, n, dim))
        mean[..., k], variance[:, k] = tokens.mean(1), tokens.var(1, ddof=1).sum(1)
    return mean, variance, np.tile(n_cells, (n_genes, 1))


@pytest.mark.parametrize("n_cells", [5, 50])
def test_a_gene_that_is_alike_in_all_groups_has_none_however_few_cells(n_cells):
    found = variability(*sample(np.zeros((4, 3)), np.full(3, n_cells)), min_cells=2)
    error = found.between.std() / 20
    assert abs(found.between.mean()) < 4 * error and error > 0


@pytest.mark.parametrize("n_cells", [(5, 5, 5), (50, 50, 50), (3, 20, 80)])
def test_the_variance_between_groups_is_found_however_few_cells(n_cells):
    centers = np.array([[0.0, 1, 2], [0, 0, 3]])  # variances 1 and 3
    found = variability(*sample(centers, np.array(n_cells)), min_cells=2)
    assert found.between.mean() == pytest.approx(4, abs=4 * found.between.std() / 20)
    assert found.share.mean() == pytest.approx(4 / 6, abs=0.1)


def test_groups_with_too_few_cells_take_no_part():
    centers = np.array([[0.0, 0, 100]])
    stats = sample(centers, np.array([30, 30, 4]))
    found = variability(*stats, min_cells=5)
    assert (found.n_groups == 2).all() and found.between.max() < 1
    assert variability(*stats, min_cells=2).between.min() > 1000


def test_one_group_tells_nothing():
    found = variability(*sample(np.zeros((2, 2)), np.array([30, 4])), min_cells=5)
    assert np.isnan(found.between).all() and np.isnan(found.share).all()
    assert (found.n_groups == 1).all()


def test_as_many_cells_of_each_group_and_batch():
    groups = np.repeat([0, 1, 2, -1], [50, 20, 3, 10])
    batches = np.arange(83) % 2
    draws = equal_cells(groups, batches, min_cells=5, most=None, seed=0)
    assert len(draws) == 2
    for batch, cells in enumerate(draws):
        assert (batches[cells] == batch).all() and (np.diff(cells) > 0).all()
        assert np.bincount(groups[cells]).tolist() == [10, 10]
    (capped,) = equal_cells(groups, np.zeros(83, int), min_cells=5, most=7, seed=0)
    assert np.bincount(groups[capped]).tolist() == [7, 7]


def test_draws_depend_on_the_seed_alone():
    groups, batches = np.arange(100) % 3, np.zeros(100, int)
    one, again, other = (equal_cells(groups, batches, 2, 10, seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_a_batch_with_one_group_is_left_out():
    groups, batches = np.array([0] * 10 + [0, 1] * 10), np.repeat([0, 1], [10, 20])
    (cells,) = equal_cells(groups, batches, min_cells=5, most=None, seed=0)
    assert (batches[cells] == 1).all()


def test_means_and_errors_over_batches():
    values = np.array([[1.0, 3.0, np.nan], [2.0, np.nan, np.nan], [np.nan] * 3])
    parts = [
        variability(*sample(np.zeros((1, 2)), np.array([9, 9]), 3), min_cells=2)._replace(between=v)
        for v in values.T
    ]
    table = combine(parts, pd.Index(["a", "b", "c"]))
    assert table["variability"].tolist()[:2] == [2, 2] and np.isnan(table["variability"]["c"])
    assert table["se"]["a"] == pytest.approx(np.std([1, 3], ddof=1) / np.sqrt(2))
    assert table["se"][["b", "c"]].isna().all()
    assert table["n_batches"].tolist() == [2, 1, 0] and table["n_groups"].tolist() == [2, 2, 0]
