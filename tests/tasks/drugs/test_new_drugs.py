from __future__ import annotations

import numpy as np

from scmomer.tasks.drugs._new_drugs import similarity_weights


def test_similar_drugs_count_more():
    rng = np.random.default_rng(0)
    among = rng.random((10, 10))
    weights = similarity_weights(np.array([[0.9, *[0.1] * 9], [0.5] * 10]), among)
    np.testing.assert_allclose(weights.sum(1), 1)
    assert weights[0, 0] > 2 * weights[0, 1]
    np.testing.assert_allclose(weights[1], 0.1)
    step = np.exp(0.8 / among[~np.eye(10, dtype=bool)].std())
    np.testing.assert_allclose(weights[0, 0] / weights[0, 1], step)


def test_two_or_equally_similar_drugs_share():
    """Their spread is 0; the slightest difference must not decide alone."""
    among = np.array([[1.0, 0.3], [0.3, 1.0]])
    weights = similarity_weights(np.array([[0.31, 0.30]]), among)
    assert 0.5 < weights[0, 0] < 0.6
    np.testing.assert_allclose(similarity_weights(np.ones((2, 1)), np.ones((1, 1))), 1)
