"""Simple predictions on changes with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks import perturbation as tasks
from scmomer.tasks.perturbation import Effects


def effects(changes, groups=None):
    """Effects with given changes by name, about a control of 1."""
    names = list(changes)
    change = np.array([changes[n] for n in names], float)
    groups = [""] * len(names) if groups is None else groups
    table = pd.DataFrame({"perturbation": names, "group": groups, "n_cells": 9, "n_control": 9})
    control = np.ones_like(change)
    genes = pd.Index([f"G{i}" for i in range(change.shape[1])])
    parts = tuple(tuple(n.split("+")) for n in names)
    return Effects(table, parts, change + control, control, np.ones_like(change), genes)


TRAIN = effects({"A": [1, 0, 0], "B": [0, 3, 0], "A+C": [2, 0, 3]})
QUERY = [("A", "B"), ("A", "C"), ("C", "D"), ("C",)]
ALONE = [""] * len(QUERY)


def test_means():
    mean, singles = np.array([1, 1, 1.0]), np.array([0.5, 1.5, 0])
    assert not tasks.no_change(TRAIN, QUERY, ALONE).any()
    np.testing.assert_allclose(tasks.training_mean(TRAIN, QUERY, ALONE), [mean] * 4)
    found = tasks.additive(TRAIN, QUERY, ALONE)
    np.testing.assert_allclose(found, [[1, 3, 0], [1.5, 1.5, 0], 2 * singles, singles])
    found = tasks.matching_mean(TRAIN, QUERY, ALONE)
    np.testing.assert_allclose(found, [[0.5, 1.5, 0], [1, 0.5, 0.5], mean, mean])
    with pytest.raises(ValueError, match="training perturbations, found none"):
        tasks.training_mean(TRAIN.rows([]), QUERY, ALONE)


def test_groups():
    train = effects({"A": [1.0, 0], "B": [3.0, 0]}, ["t", "b"])
    train = Effects(train.table, (("A",), ("A",)), *_arrays(train))
    np.testing.assert_allclose(tasks.training_mean(train, [("A",)] * 2, ["t", "n"])[:, 0], [1, 2])
    np.testing.assert_allclose(tasks.other_groups(train, [("A",)] * 2, ["t", "n"])[:, 0], [3, 2])
    np.testing.assert_allclose(tasks.other_groups(train, [("Z",)], ["t"])[:, 0], [1])


def _arrays(e):
    return e.perturbed, e.control, e.variance, e.genes


SETS = {
    "one": ["A", "E", "x", "y", "z"],
    "two": ["B", "F", "x", "y", "z"],
    "small": ["A", "F"],
}


def test_gene_sets():
    train = effects({"A": [2, 0, 0], "B": [0, 2, 0], "Q": [0, 0, 1]})
    query, groups = [("E",), ("F",), ("unknown",)], [""] * 3
    mean = train.change.mean(axis=0)
    near = tasks.gene_set_neighbors(train, query, groups, gene_sets=SETS, k=1)
    np.testing.assert_allclose(near, [[2, 0, 0], [0, 2, 0], mean])
    ridge = tasks.gene_set_kernel_ridge(train, query, groups, gene_sets=SETS, penalty=0.25)
    # One training perturbation shares the set, with similarity 1.
    np.testing.assert_allclose(ridge[0], mean + (train.change[0] - mean) / 1.25)
    np.testing.assert_allclose(ridge[2], mean)


def test_jaccard_of_combinations():
    of = tasks.memberships(SETS, [("A",), ("A", "B"), ("none",)])
    expected = [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(tasks.jaccard(of, of), expected)


def linear_screen(n=30, noise=0.0):
    """Changes that are linear in embeddings of the perturbed genes, and the embeddings."""
    rng = np.random.default_rng(0)
    names = [f"p{i}" for i in range(n)]
    table = pd.DataFrame(rng.normal(size=(n, 3)), index=names)
    change = table.to_numpy() @ rng.normal(size=(3, 20)) + noise * rng.normal(size=(n, 20))
    return effects(dict(zip(names, change, strict=True))), table


@pytest.mark.parametrize("method", [tasks.embedding_ridge, tasks.linear_gwp])
def test_linear_models_predict_new_perturbations(method):
    screen, table = linear_screen(noise=0.05)
    train, test = screen.rows(np.arange(25)), screen.rows(np.arange(25, 30))
    found = method(train, test.parts, [""] * 5, embeddings=table)
    assert np.corrcoef(found.ravel(), test.change.ravel())[0, 1] > 0.9
    unknown = method(train, [("none",)], [""], embeddings=table)
    np.testing.assert_allclose(unknown, train.change.mean(axis=0)[None])


def test_embedding_ridge_without_enough_embeddings_is_the_mean():
    screen, table = linear_screen()
    found = tasks.embedding_ridge(screen, [("p9",)], [""], embeddings=table.iloc[8:10])
    np.testing.assert_allclose(found, screen.change.mean(axis=0)[None])


def test_embeddings_of_combinations_are_sums_of_all_parts():
    table = pd.DataFrame([[1.0], [2.0]], index=["A", "B"])
    sums, known = tasks.part_sums(table, [("A", "B"), ("A", "none"), ("B",)])
    assert sums[known].ravel().tolist() == [3.0, 2.0]
    assert known.tolist() == [True, False, True]


def test_linear_model_needs_measured_targets():
    screen, _ = linear_screen()
    found = tasks.linear_gwp(screen, [("p1",)], [""])
    np.testing.assert_allclose(found, screen.change.mean(axis=0)[None])
