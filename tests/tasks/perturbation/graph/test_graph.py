"""Graphs as index tensors."""

import numpy as np

from scmomer.tasks.perturbation.graph._graph import (
    coexpression_graph,
    jaccard_graph,
    similarity_graph,
)


def _edges(graph):
    return {tuple(pair) for pair in graph[0].T.tolist()}


def test_weights_sum_to_one_and_nodes_have_themselves():
    values = np.random.default_rng(0).random((6, 6))
    (target, source), weight = similarity_graph(values, 0.5, neighbors=2)
    np.testing.assert_allclose(np.bincount(target, weight), 1, rtol=1e-6)
    assert {(i, i) for i in range(6)} <= set(zip(target.tolist(), source.tolist(), strict=True))
    assert np.bincount(target).max() <= 3


def test_jaccard():
    members = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]])
    assert _edges(jaccard_graph(members)) == {(0, 0), (1, 1), (2, 2), (0, 1), (1, 0)}


def test_coexpression_in_both_directions():
    x = np.random.default_rng(0).normal(size=100)
    profiles = np.stack([x, -x, np.random.default_rng(1).normal(size=100), np.ones(100)], 1)
    assert _edges(coexpression_graph(profiles)) == {(0, 0), (1, 1), (2, 2), (3, 3), (0, 1), (1, 0)}
