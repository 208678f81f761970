"""Regression on the embedding."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scmomer.tasks.annotation._embedding_regression import (
    EmbeddingRegression,
    held_out_by_embedding,
)


def draw(n_classes: int, n: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of other scales, and classes."""
    rng, codes = np.random.default_rng(0), np.arange(n) % n_classes
    centers = rng.normal(size=(n_classes, 6))
    z = (centers[codes] + rng.normal(size=(n, 6))) * np.logspace(-2, 2, 6) + 3
    return z.astype(np.float32), codes


@pytest.mark.parametrize("n_classes", [2, 4])
def test_it_is_regression_on_standardized_dimensions(n_classes):
    z, codes = draw(n_classes)
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    expected = regression.fit(z.astype(float), codes).predict_proba(z)
    found = EmbeddingRegression.fit(z, codes, n_classes).predict_proba(z)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert found.dtype == np.float32


def test_a_class_without_cells_and_a_constant_dimension():
    z, codes = draw(3)
    z[:, 2] = 5
    found = EmbeddingRegression.fit(z[codes != 1], codes[codes != 1], 3).predict_proba(z)
    assert not found[:, 1].any()
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


def test_held_out_cells_do_not_take_part():
    z, codes = draw(3)
    nonsense = np.random.default_rng(1).permutation(codes)
    wide = np.random.default_rng(2).normal(size=(len(z), 200)).astype(np.float32)
    fitted = EmbeddingRegression.fit(wide, nonsense, 3).predict_proba(wide)
    held_out = held_out_by_embedding(wide, nonsense, 3)
    accuracy = [(p.argmax(1) == nonsense).mean() for p in (fitted, held_out)]
    assert accuracy[0] > 0.9 and accuracy[1] < 0.5
    assert (held_out_by_embedding(z, codes, 3).argmax(1) == codes).mean() > 0.6
