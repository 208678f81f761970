"""Calibration: against sklearn, and by its properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss

from scmomer.metrics import calibration, calibration_curve


@pytest.fixture
def probability(score: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities from 0 to 1, ``(N_CELLS, N_PEAKS)``, many of them small and many tied."""
    return (1 - np.exp(-(score**3) / 100)).astype(np.float32)


def test_curve_is_that_of_pandas(truth: NDArray, probability: NDArray, to_format: Callable) -> None:
    curve = calibration_curve(to_format(truth), to_format(probability), n_bins=9)
    edges = [*curve["lower"], np.inf]
    p, y = pd.Series(probability.ravel().astype(float)), pd.Series(truth.ravel() > 0)
    bins = pd.cut(p, edges, right=False, labels=False)
    count = bins.value_counts().reindex(range(9), fill_value=0)
    assert curve["count"].tolist() == count.tolist()
    assert 0 in count.tolist()
    mean, observed = (values.groupby(bins).mean().reindex(range(9)) for values in (p, y))
    np.testing.assert_allclose(curve["mean_probability"], mean.astype(float))
    np.testing.assert_allclose(curve["observed_frequency"], observed.astype(float))


def test_values_follow_from_the_curve(
    truth: NDArray, probability: NDArray, to_format: Callable
) -> None:
    curve = calibration_curve(truth, probability).query("count > 0")
    gap = (curve["observed_frequency"] - curve["mean_probability"]).abs()
    error = np.average(gap, weights=curve["count"])
    brier = brier_score_loss(truth.ravel() > 0, probability.ravel().astype(float))
    found = calibration(to_format(truth), to_format(probability))
    assert found == pytest.approx({"expected_calibration_error": error, "brier": brier})


def test_bins_separate_rare_and_rarer() -> None:
    curve = calibration_curve([[0, 1]], [[0, 1]])
    assert len(curve) == 20
    assert curve["lower"].iloc[0] == 0 and curve["upper"].iloc[-1] == 1
    assert (curve["upper"] < 0.01).sum() >= 9
    assert (curve["lower"].to_numpy()[1:] == curve["upper"].to_numpy()[:-1]).all()
    assert curve["count"].iloc[[0, -1]].tolist() == [1, 1]


def test_true_probabilities_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    probability = rng.beta(0.2, 5, size=(500, 200))
    drawn = rng.random(probability.shape) < probability
    right = calibration(drawn, probability)
    assert right["expected_calibration_error"] < 2e-3
    wrong = calibration(drawn, np.sqrt(probability))
    assert wrong["expected_calibration_error"] > 0.05
    assert wrong["brier"] > right["brier"]


def test_extremes(truth: NDArray) -> None:
    opened = (truth > 0).astype(float)
    assert set(calibration(truth, opened).values()) == {0}
    assert set(calibration(truth, 1 - opened).values()) == {1}
    constant = calibration(truth, np.full_like(opened, 0.5))
    assert constant["expected_calibration_error"] == pytest.approx(abs(opened.mean() - 0.5))
    assert constant["brier"] == 0.25


@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_chunk_size_does_not_matter(truth: NDArray, probability: NDArray, chunk_size: int) -> None:
    found = calibration(truth, probability, chunk_size=chunk_size)
    assert found == pytest.approx(calibration(truth, probability), rel=1e-12)


@pytest.mark.parametrize("metric", [calibration, calibration_curve])
def test_arguments_are_checked(
    truth: NDArray, probability: NDArray, metric: Callable[..., object]
) -> None:
    with pytest.raises(ValueError, match=r"`probability` .*found \(120, 39\)"):
        metric(truth, probability[:, 1:])
    with pytest.raises(ValueError, match="between 0 and 1, found 0 to 3"):
        metric(truth, 3 * probability / probability.max())
    with pytest.raises(ValueError, match="between 0 and 1, found -1 to"):
        metric(truth, probability - 1)
    with pytest.raises(ValueError, match="`n_bins` to be at least 2, found 1"):
        metric(truth, probability, n_bins=1)
    with pytest.raises(ValueError, match="`chunk_size` to be at least 1, found 0"):
        metric(truth, probability, chunk_size=0)
    probability[0, 0] = np.nan
    with pytest.raises(ValueError, match="`probability` to be finite"):
        metric(truth, probability)
