"""Features of pairs: no order, and what each can express."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from scmomer.tasks.genes.interactions._heads import fit_pairs, pair_features

HEADS = ("symmetric", "similarity", "bilinear", "concatenated")
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(150, 5)).astype(np.float32) * [1, 5, 1, 1, 1] + 3
PAIRS = RNG.integers(150, size=(4000, 2))
INNER = [(np.arange(2000), np.arange(2000, 3000))]


@pytest.mark.parametrize("head", HEADS)
def test_the_order_of_a_pair_does_not_matter(head):
    features = pair_features(head, VECTORS)
    assert np.allclose(features(VECTORS, PAIRS), features(VECTORS, PAIRS[:, ::-1]))
    model = fit_pairs(head, VECTORS, PAIRS, PAIRS[:, 0] < PAIRS[:, 1], [])
    assert np.array_equal(model(VECTORS, PAIRS), model(VECTORS, PAIRS[:, ::-1]))


def test_features_by_hand():
    vectors = np.array([[0.0], [2.0]], np.float32)  # standardized: -1 and 1
    pair = np.array([[0, 1]])
    assert pair_features("symmetric", vectors)(vectors, pair).tolist() == [[0, 2, -1]]
    assert pair_features("concatenated", vectors)(vectors, pair).tolist() == [[0]]
    assert np.allclose(pair_features("bilinear", vectors)(vectors, pair), [[-2]], atol=1e-5)


def test_constant_dimensions_and_many_dimensions_are_harmless():
    constant = np.concatenate([VECTORS, np.ones((150, 1))], axis=1)
    wide = RNG.normal(size=(150, 60)).astype(np.float32)
    for head in HEADS:
        assert np.isfinite(pair_features(head, constant)(constant, PAIRS)).all()
        assert np.isfinite(pair_features(head, wide)(wide, PAIRS)).all()


def score(head, y) -> float:
    train, test = slice(0, 3000), slice(3000, None)
    model = fit_pairs(head, VECTORS, PAIRS[train], y[train], INNER)
    return float(roc_auc_score(y[test], model(VECTORS, PAIRS[test])))


def test_only_some_heads_express_an_interaction():
    z = (VECTORS - VECTORS.mean(0)) / VECTORS.std(0)
    a, b = z[PAIRS[:, 0]], z[PAIRS[:, 1]]
    like = a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] > 0
    assert score("symmetric", like) > 0.9 and score("bilinear", like) > 0.9
    assert score("concatenated", like) < 0.6
    additive = a[:, 0] + b[:, 0] > 0
    assert score("concatenated", additive) > 0.95 and score("symmetric", additive) > 0.95
    crossed = a[:, 0] * b[:, 1] + a[:, 1] * b[:, 0] > 0  # products of different dimensions
    assert score("bilinear", crossed) > 0.9 > score("symmetric", crossed)


def test_concatenation_in_both_orders_is_the_sum():
    y = RNG.random(4000) < 0.5
    z = (VECTORS - VECTORS.mean(0)) / VECTORS.std(0)
    a, b = z[PAIRS[:, 0]], z[PAIRS[:, 1]]
    both = np.concatenate([np.concatenate([a, b], 1), np.concatenate([b, a], 1)])
    model = LogisticRegression(C=0.1, tol=1e-8).fit(both, np.tile(y, 2))
    assert np.allclose(model.coef_[0, :5], model.coef_[0, 5:], atol=1e-5)
    # Twice the loss and, for weights used twice, twice the penalty: the same C
    alone = LogisticRegression(C=0.1, tol=1e-8).fit(a + b, y)
    assert np.allclose(model.coef_[0, :5], alone.coef_[0], atol=1e-4)
