"""Changes in new groups of cells."""

import numpy as np

from scmomer.tasks.perturbation.model._context import Contexts, choose_range, in_context
from scmomer.tasks.perturbation.model._validation import Rows


def test_similar_groups_count_more():
    profile = np.sin(np.arange(10))
    contexts = Contexts(("near", "far"), np.stack([profile, -profile]), 0.1)
    weights = contexts.weights("new", profile + 0.01)
    assert weights[0] == 1
    assert weights[1] < 1e-3
    assert Contexts(("a", "b"), np.zeros((2, 3))).weights("new").tolist() == [1, 1]


def test_own_rows_come_first():
    changes = np.array([[1.0], [3.0], [5.0]])
    parts, groups = [("A",), ("A",), ("B",)], ["x", "y", "y"]
    names, found, _ = in_context(changes, changes, parts, groups, {"x": 1.0, "y": 1.0}, "x")
    assert names == [("A",), ("B",)]
    assert found.ravel().tolist() == [1, 5]
    _, found, _ = in_context(changes, changes, parts, groups, {"x": 1.0, "y": 3.0})
    assert found.ravel().tolist() == [2.5, 5]


def test_range_is_chosen_where_similar_groups_do_alike():
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(2, 50))
    effects = rng.normal(size=(2, 50))
    values = np.stack([kinds[i % 2] + 0.1 * rng.normal(size=50) for i in range(6)])
    changes = np.stack([effects[i % 2] + 0.1 * rng.normal(size=50) for i in range(6)])
    names = tuple("abcdef")
    rows = Rows(changes, np.full((6, 50), 0.01), np.zeros(50), np.ones((6, 50), bool))
    contexts, held, misses = choose_range(rows, [("A",)] * 6, names, Contexts(names, values))
    assert contexts.range < 1
    assert held.cosine.min() > 0.9
    assert misses.shape == (6, 50)
