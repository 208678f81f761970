"""Scores against random genes, by plain code."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.perturbation.knockout._background import Background, background_pool
from scmomer.tasks.perturbation.knockout._readouts import FeatureReadout
from scmomer.tasks.perturbation.knockout._scores import Directions, Scorer, compare, score_table
from scmomer.tasks.perturbation.knockout._shifts import Shifts

N, WIDTH = 30, 4


def shifts(seed: int, genes: np.ndarray, scale: float = 1.0) -> Shifts:
    rng = np.random.default_rng(seed)
    dose = rng.uniform(0.5, 2, (len(genes), 1))
    mean = dose[..., None] * (
        np.array([5.0, 0, 0, 0]) + scale * rng.normal(size=(len(genes), 1, WIDTH))
    )
    return Shifts(genes, mean, dose, np.full((len(genes), 1), 50))


def background(pool: Shifts) -> Background:
    place = np.zeros((len(pool.genes), 1, 2))
    return Background(pool, place, np.ones((len(pool.genes), 1), bool))


@pytest.fixture
def scorer():
    rng = np.random.default_rng(3)
    readout = FeatureReadout(
        "rna",
        pd.Index([f"g{i}" for i in range(500)]),
        rng.normal(size=(1, 500, WIDTH)).astype(np.float32),
        np.zeros(500),
    )
    way = Directions(np.array([[1.0, 2, 0, 0]]))
    return Scorer(np.eye(WIDTH), [readout], [readout.gram()], way)


def test_the_mean_shift_of_random_genes_is_removed():
    pool, own = shifts(0, np.arange(N)), shifts(1, np.array([99]))
    found = compare(own, 0, 0, background(pool), np.arange(N))
    each = pool.mean[:, 0] / pool.dose * own.dose[0, 0]
    np.testing.assert_allclose(found.excess, own.mean[0, 0] - each.mean(0))
    for b in (0, 7):
        others = np.delete(each, b, 0).mean(0)
        np.testing.assert_allclose(found.background[b], each[b] - others)


def test_scores_are_sizes_of_the_shift(scorer):
    shift = np.random.default_rng(5).normal(size=(3, WIDTH))
    genes = np.array([4, 0, 11])
    found = scorer.values(shift, genes, 0)
    assert scorer.names == ["embedding", "expression", "towards"]
    np.testing.assert_allclose(found[:, 0], np.linalg.norm(shift, axis=1))
    for row, gene, value in zip(shift, genes, found[:, 1], strict=True):
        change = np.delete(scorer.readouts[0].weights @ row, gene)
        np.testing.assert_allclose(value, np.sqrt((change**2).mean()), rtol=1e-5)
    np.testing.assert_allclose(found[:, 2], shift @ [1, 2, 0, 0] / 5)


def test_random_genes_are_as_far_out_as_chance(scorer):
    pool, own = shifts(0, np.arange(N)), shifts(1, np.arange(100, 400))
    place = np.zeros((300, 1, 2))
    table, kept = score_table(own, background(pool), place, scorer, n_background=N, min_cells=10)
    assert len(kept) == 300 and not table["outside"].any()
    assert abs(table["embedding_z"].mean()) < 0.4 and 0.6 < table["embedding_z"].std() < 1.6
    assert 0.35 < table["embedding_p"].mean() < 0.65
    strong = shifts(2, np.arange(100, 120), scale=6)
    table, _ = score_table(
        strong, background(pool), place[:20], scorer, n_background=N, min_cells=10
    )
    assert table["embedding_z"].median() > 5 and table["embedding_p"].min() == 1 / (N + 1)


def test_genes_are_compared_with_the_nearest_but_not_themselves(scorer):
    pool = shifts(0, np.arange(60))
    place = np.zeros((60, 1, 2))
    place[:, 0, 0] = np.arange(60)
    found = Background(pool, place, np.ones((60, 1), bool))
    np.testing.assert_array_equal(np.sort(found.nearest(10, 0, place[10, 0], 4)), [8, 9, 11, 12])
    table, _ = score_table(pool, found, place + [100, 0], scorer, n_background=20, min_cells=10)
    assert table["outside"].all()


def test_few_cells_or_few_genes_give_no_score(scorer):
    pool, own = shifts(0, np.arange(N)), shifts(1, np.array([99]))
    place = np.zeros((1, 1, 2))
    few = Shifts(own.genes, own.mean, own.dose, np.full((1, 1), 9))
    for mine, other in ((few, background(pool)), (own, background(shifts(0, np.arange(19))))):
        table, kept = score_table(mine, other, place, scorer, n_background=N, min_cells=10)
        assert table[["embedding", "embedding_z", "towards_p"]].isna().all(axis=None) and not kept


def test_a_pool_covers_the_expression_of_the_genes(make_cells):
    from scmomer.tasks.perturbation.knockout import make_cells as knockout_cells

    counts = make_cells(300, 200).counts["rna"]
    cells = knockout_cells(counts, 100.0, np.zeros(300, int), 1, 5)
    genes = np.argsort(cells.mean[0])[[5, 100, 195]]
    pool = background_pool(cells, genes, np.arange(200), 20, 0)
    assert not np.isin(genes, pool).any() and 20 <= len(pool) <= 60
    rank = np.argsort(np.argsort(cells.mean[0]))[pool]
    assert rank.min() < 20 and rank.max() > 180 and ((rank > 80) & (rank < 120)).any()
    np.testing.assert_array_equal(pool, background_pool(cells, genes, np.arange(200), 20, 0))
    everything = background_pool(cells, np.arange(200), np.arange(200), 20, 0)
    assert len(everything) >= 100  # of the genes themselves
