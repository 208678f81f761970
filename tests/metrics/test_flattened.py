"""Metrics over all entries: against sklearn, and by their properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from scmomer.metrics import flattened_auroc, flattened_average_precision, peak_auroc_within_depth

METRICS = {
    flattened_auroc: roc_auc_score,
    flattened_average_precision: average_precision_score,
}
metrics = pytest.mark.parametrize("metric", METRICS)


@metrics
@pytest.mark.parametrize("ties", [True, False])
def test_is_that_of_sklearn(
    truth: NDArray, score: NDArray, to_format: Callable, metric: Callable[..., float], ties: bool
) -> None:
    if not ties:
        score = score + np.random.default_rng(0).normal(size=score.shape).astype(np.float32)
    expected = METRICS[metric](truth.ravel() > 0, score.ravel())
    assert metric(to_format(truth), to_format(score)) == pytest.approx(expected, rel=1e-12)
    assert metric(truth, to_format(score)) == pytest.approx(expected, rel=1e-12)


def test_constant_score_is_chance(truth: NDArray) -> None:
    constant = np.full_like(truth, 0.3)
    assert flattened_auroc(truth, constant) == 0.5
    prevalence = (truth > 0).mean()
    assert flattened_average_precision(truth, constant) == pytest.approx(prevalence)


def test_perfect_score_is_one(truth: NDArray) -> None:
    assert flattened_auroc(truth, truth) == 1
    assert flattened_average_precision(truth, truth) == 1
    assert flattened_auroc(truth, -truth) == 0


def test_frequency_of_peaks_is_enough(truth: NDArray) -> None:
    mean = np.tile(truth.mean(0), (truth.shape[0], 1))
    assert flattened_auroc(truth, mean) > 0.75
    assert peak_auroc_within_depth(truth, mean) == 0.5


@metrics
@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_chunk_size_does_not_matter(
    truth: NDArray, score: NDArray, metric: Callable[..., float], chunk_size: int
) -> None:
    assert metric(truth, score, chunk_size=chunk_size) == metric(truth, score)


@metrics
def test_arguments_are_checked(
    truth: NDArray, score: NDArray, metric: Callable[..., float]
) -> None:
    with pytest.raises(ValueError, match=r"\(120, 40\).*found \(120, 39\)"):
        metric(truth, score[:, 1:])
    with pytest.raises(ValueError, match="found 0 open ones of 4800"):
        metric(np.zeros_like(truth), score)
    with pytest.raises(ValueError, match="found 4800 open ones of 4800"):
        metric(np.ones_like(truth), score)
    with pytest.raises(ValueError, match="`chunk_size` to be at least 1, found 0"):
        metric(truth, score, chunk_size=0)
    score[0, 0] = np.inf
    with pytest.raises(ValueError, match="`score` to be finite"):
        metric(truth, score)
