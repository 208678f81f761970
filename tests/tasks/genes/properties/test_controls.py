"""Controls: expression, and the number of gene sets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scmomer.tasks.genes import SetCounts, expression_features
from scmomer.tasks.genes.properties._labels import Task


def test_a_set_that_is_the_task_is_not_counted():
    sets = SetCounts(np.array([3, 1, 0, 2]), frozenset({"T1"}))
    positive = np.array([True, True, False])
    found = sets.for_task(Task("T1", np.array([0, 1, 2]), positive))
    assert np.allclose(np.expm1(found[:, 0]), [2, 0, 0, 2])
    other = sets.for_task(Task("T2", np.array([0, 1, 2]), positive))
    assert np.allclose(np.expm1(other[:, 0]), [3, 1, 0, 2])


def test_expression_is_there_if_it_is_known(genes):
    assert expression_features(genes) == {}
    known = replace(genes, mean=np.full(120, 2.0), detection=np.linspace(0, 1, 120))
    assert expression_features(known)["expression"].shape == (120, 2)
