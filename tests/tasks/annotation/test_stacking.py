"""Weights of classifiers from held-out cells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from scmomer.tasks.annotation import _stacking
from scmomer.tasks.annotation._stacking import Stack, combine, fit_weights

N = 3000
CODES = np.arange(N) % 3


def classifier(signal: float, seed: int, sure: float = 1.0) -> np.ndarray:
    """Probabilities with some signal; `sure` times as sure as they should be."""
    noise = np.random.default_rng(seed).normal(size=(N, 3))
    return softmax(sure * signal * (noise + signal * np.eye(3)[CODES]), axis=1)


def nonsense() -> np.ndarray:
    """Probabilities that have nothing to do with the classes."""
    return softmax(2 * np.random.default_rng(9).normal(size=(N, 3)), axis=1)


def test_what_knows_nothing_does_not_count():
    weights = fit_weights(np.stack([classifier(2, 0), nonsense()]), CODES)
    assert weights[0] == pytest.approx(1, abs=0.2) and weights[1] < 0.1
    wrong = classifier(2, 0)[:, [1, 2, 0]]
    assert fit_weights(np.stack([classifier(2, 2), wrong]), CODES)[1] == 0


def test_two_that_err_apart_are_better_together():
    parts = np.stack([classifier(1, 0), classifier(1, 1)])
    both = combine(parts, fit_weights(parts, CODES))
    right = [(p.argmax(1) == CODES).mean() for p in (*parts, both)]
    assert right[2] > max(right[:2]) + 0.05


@pytest.mark.parametrize("sure", [0.4, 2.5])
def test_probabilities_become_as_sure_as_they_are_right(sure):
    parts = np.stack([classifier(1, 0, sure), classifier(1, 1, sure)])
    found = combine(parts, fit_weights(parts, CODES))
    gap = lambda p: abs(p.max(1).mean() - (p.argmax(1) == CODES).mean())
    assert gap(found) < 0.03 < gap(parts[0])


def test_without_a_prior_it_is_a_regression_on_log_probabilities(monkeypatch):
    """Of two classes, on differences of log probabilities."""
    monkeypatch.setattr(_stacking, "_PRIOR", 0.0)
    codes = np.arange(N) % 2
    noise = np.random.default_rng(0).normal(size=(N, 2))
    x = np.array([1.0, 0.5]) * (2 * codes - 1)[:, None] + noise
    parts = np.stack([expit(-x), expit(x)], 2).transpose(1, 0, 2)
    regression = LogisticRegression(C=1e6, fit_intercept=False, tol=1e-6).fit(x, codes)
    np.testing.assert_allclose(fit_weights(parts, codes), regression.coef_[0], rtol=0.02)


def test_few_cells_leave_weights_near_equal_ones():
    parts = np.stack([classifier(2, 0), nonsense()])
    few = fit_weights(parts[:, :6], CODES[:6])
    many = fit_weights(parts, CODES)
    assert np.abs(few - 0.5).max() < np.abs(many - 0.5).max() / 2
    np.testing.assert_array_equal(fit_weights(parts[:, :0], CODES[:0]), [0.5, 0.5])


def test_cells_without_rna_have_the_weights_of_the_embedding():
    by_embedding = np.stack([classifier(1, 0), nonsense()])
    by_genes = classifier(1, 1)[None].copy()
    by_genes[:, :50] = np.nan
    stack = Stack.fit(by_embedding, by_genes, CODES)
    assert stack.weights.shape == (3,) and stack.of_embedding.shape == (2,)
    np.testing.assert_array_equal(stack.of_embedding, fit_weights(by_embedding, CODES))
    found = stack.predict_proba(by_embedding, by_genes)
    alone = Stack.fit(by_embedding, None, CODES)
    np.testing.assert_array_equal(found[:50], alone.predict_proba(by_embedding, None)[:50])
    every = np.concatenate([by_embedding, by_genes])[:, 50:]
    np.testing.assert_allclose(stack.weights, fit_weights(every, CODES[50:]), rtol=1e-4)
    logs = np.tensordot(stack.weights, np.log(np.maximum(every, 1e-4)), 1)
    np.testing.assert_allclose(found[50:], softmax(logs, axis=1), atol=1e-6)
    assert found.dtype == np.float32 and alone.weights.shape == (0,)
