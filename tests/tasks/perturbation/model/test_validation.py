"""Held-out training perturbations."""

import numpy as np

from scmomer.tasks.perturbation.graph._knowledge import read_knowledge
from scmomer.tasks.perturbation.model._design import Design
from scmomer.tasks.perturbation.model._validation import (
    Held,
    Rows,
    better,
    compare,
    held_out_folds,
)

NOTHING = read_knowledge(None, None)


def test_folds_of_singles_leave_out_their_pairs():
    design = Design.of([("A",), ("B",), ("A", "B"), ("C",)], NOTHING)
    folds = held_out_folds(design, np.array([0, 3]))
    assert [(q.tolist(), t.tolist()) for q, t in folds] == [([0], [1, 3]), ([3], [0, 1, 2])]


def test_many_rows_are_held_out_in_folds():
    design = Design.of([(f"P{i}",) for i in range(60)], NOTHING)
    folds = held_out_folds(design, np.arange(60))
    assert len(folds) == 10
    assert sorted(np.concatenate([q for q, _ in folds])) == list(range(60))


def test_noise_of_a_shared_control_is_taken_out():
    rng = np.random.default_rng(0)
    n, genes, spread = 40, 4000, 0.5
    control = spread * rng.normal(size=genes)
    changes = rng.normal(size=(n, genes)) * 0.3 - control  # nothing in common but the control
    rows = Rows(
        changes,
        np.full((n, genes), 0.3**2 + spread**2),
        np.full(genes, spread**2),
        np.ones((n, genes), bool),
    )
    query, train = np.array([0]), np.arange(1, n)
    predicted = changes[train].mean(0, keepdims=True)
    raw = np.corrcoef(changes[0], predicted[0])[0, 1]
    found = compare(rows, query, predicted, np.ones(1))
    assert raw > 0.7
    assert abs(found.cosine[0]) < 0.2
    fresh = changes[0] + control - spread * rng.normal(size=genes)
    expected = ((fresh - predicted) ** 2).mean()
    assert abs(found.error[0] - expected) < 0.05


def _held(cosine):
    n = len(cosine)
    return Held(np.arange(n), np.asarray(cosine, float), np.zeros(n), np.ones(n))


def test_better_only_if_surely():
    rng = np.random.default_rng(0)
    first = rng.random(10)
    sure, unsure = first + 0.2, first + 0.01 + 0.3 * rng.normal(size=10)
    assert better([_held(first), _held(sure)], 0) == 1
    assert better([_held(first), _held(first + 0.001 + unsure - unsure.mean())], 0) == 0
    assert better([_held(first[:2]), _held(sure[:2])], 0) == 0  # too few rows to tell
