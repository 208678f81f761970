"""Kernel ridge regression with learned weights of gene sets."""

import numpy as np
import pandas as pd

from scmomer.tasks.perturbation.graph._knowledge import read_knowledge
from scmomer.tasks.perturbation.model._candidates import additive_weights, mean_weights
from scmomer.tasks.perturbation.model._design import Design
from scmomer.tasks.perturbation.model._kernel import (
    KernelSettings,
    KernelSmoother,
    relative_noise,
    set_weights,
)

NOTHING = read_knowledge(None, None)


def test_sets_that_tell_count_more():
    rng = np.random.default_rng(0)
    rows = np.zeros((12, 3))
    rows[:4, 0] = rows[4:8, 1] = 1
    rows[rng.permutation(12)[:4], 2] = 1  # a set of genes that do not do alike
    changes = 0.1 * rng.normal(size=(12, 20))
    changes[:4] += 2 * rng.normal(size=20)
    weights = set_weights(rows, np.ones(3), changes)
    assert weights[0] > 3 * weights[1]
    assert weights[0] > 3 * weights[2]
    np.testing.assert_allclose((rows**2 * weights).sum() / 12, 1)


def test_no_sets():
    assert not set_weights(np.zeros((3, 2)), np.ones(2), np.ones((3, 4))).any()


def test_without_features_a_new_gene_has_the_mean():
    design = Design.of([("A",), ("B",), ("C",)], NOTHING)
    smoother = KernelSmoother(design, np.eye(3), np.ones(3))
    found = smoother.weights(np.array([0, 1]), np.array([2]), [KernelSettings(mean=0.5)])[0]
    np.testing.assert_allclose(found, [[0.25, 0.25]])


def test_a_similar_gene_is_followed():
    table = pd.DataFrame([[1.0, 0], [0, 1], [0.9, 0.1]], list("ABC"))
    design = Design.of([("A",), ("B",), ("C",)], read_knowledge(None, table))
    smoother = KernelSmoother(design, np.eye(3), np.ones(3))
    settings = KernelSettings(vectors=1.0, sets=0.0)
    found = smoother.weights(np.array([0, 1]), np.array([2]), [settings])[0]
    assert found[0, 0] > found[0, 1] + 0.2


def test_pairs_tell_their_parts():
    rng = np.random.default_rng(0)
    effect = {p: rng.normal(size=30) for p in "ABCD"}
    parts = [("A", "B"), ("B", "C"), ("A", "C"), ("A",), ("C",), ("B",)]
    changes = np.array([sum(effect[p] for p in row) for row in parts])
    design = Design.of(parts, NOTHING)
    smoother = KernelSmoother(design, changes, np.ones(6))
    settings = KernelSettings(
        penalty=0.01, own=1.0, slope=1.0, mean=0.0, shared=0.0, interaction=0.0, sets=0.0
    )
    train = np.arange(5)
    found = smoother.weights(train, np.array([5]), [settings])[0] @ changes[train]
    assert np.corrcoef(found[0], effect["B"])[0, 1] > 0.98


def test_simple_weights():
    design = Design.of([("A",), ("B",), ("A", "B"), ("A", "X")], NOTHING)
    train, query = np.array([0, 1]), np.array([2, 3])
    np.testing.assert_allclose(additive_weights(design, train, query), [[1, 1], [1.5, 0.5]])
    np.testing.assert_allclose(mean_weights(design, train, query), np.full((2, 2), 0.5))


def test_relative_noise_is_bounded():
    noise = relative_noise(np.array([[1.0], [1.0], [100.0], [0.01]]))
    np.testing.assert_allclose(noise, [1, 1, 4, 0.5])
