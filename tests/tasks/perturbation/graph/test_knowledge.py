"""Gene sets and embeddings of perturbed genes."""

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.perturbation.graph._knowledge import read_knowledge

SETS = {"a": ["A", "B", "C", "D", "MARCH8"], "b": ["A", "E", "F", "G", "H"], "small": ["A", "B"]}


def test_features_of_sets():
    features = read_knowledge(SETS, None).features(["A", "B", "MARCHF8", "unknown"])
    assert features.sets.shape == (4, 2)  # the small set is not used
    length = (features.sets**2 * features.set_weights).sum(1)
    np.testing.assert_allclose(length, [1, 1, 1, 0])
    np.testing.assert_allclose(features.sets[1], features.sets[2])  # by its former name
    assert features.in_graph.tolist() == [True, True, True, False]
    assert (features.set_weights > 0).all()


def test_features_of_embeddings():
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(5, 3)), list("ABCDE"))
    features = read_knowledge(None, table).features(["C", "x"])
    assert np.linalg.norm(features.vectors[0]) == pytest.approx(1)
    assert not features.vectors[1].any()
    assert features.sets.shape == (2, 0)


def test_nothing_known():
    features = read_knowledge(None, None).features(["A"])
    assert features.in_graph.tolist() == [False]


def test_no_usable_set():
    with pytest.raises(ValueError, match=r"Expected gene_sets with sets of 5 to 500.*Pass others"):
        read_knowledge({"small": ["A"]}, None)
