from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from scmomer.tasks.drugs._spread import Spread


def normal_errors(seed: int, sizes: np.ndarray, novelty: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    errors = rng.normal(size=(len(novelty), len(sizes))) * sizes * (0.5 + novelty[:, None])
    return np.abs(np.where(rng.random(errors.shape) < 0.2, np.nan, errors))


def test_intervals_cover_what_they_say():
    rng = np.random.default_rng(0)
    sizes, novelty = rng.uniform(0.5, 2, 10), rng.random(300)
    spread = Spread.fit(normal_errors(0, sizes, novelty), novelty, np.ones(10))
    new = rng.random(300)
    errors, std = normal_errors(1, sizes, new), spread(new)
    here = np.isfinite(errors)
    within = errors <= norm.ppf(0.95) * std
    assert 0.87 < within[here].mean() < 0.93
    for part in (new < 0.3, new > 0.7):  # neither too wide nor too narrow where lines are far
        assert 0.84 < within[part][here[part]].mean() < 0.96
    expected = sizes * (0.5 + new[:, None])
    assert np.abs(std / expected - 1).mean() < 0.15
    assert spread.slope > 0


def test_far_is_never_safer():
    novelty = np.linspace(0, 1, 50)
    errors = np.abs(np.random.default_rng(0).normal(size=(50, 4))) * (2 - novelty[:, None])
    assert Spread.fit(errors, novelty, np.ones(4)).slope == 0


def test_columns_with_few_errors_are_drawn_to_the_others():
    errors = np.full((50, 3), np.nan)
    errors[:, :2] = np.abs(np.random.default_rng(0).normal(size=(50, 2)))
    errors[0, 2] = 30.0
    std = Spread.fit(errors, np.zeros(50), np.ones(3))(np.zeros(1))[0]
    assert std[2] < 15
    assert (Spread.fit(errors, np.zeros(50), np.array([1.0, 1, 100]))(np.zeros(1))[0, 2]) > std[2]


@pytest.mark.parametrize("errors", [np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_no_prediction_is_certain(errors):
    std = Spread.fit(errors, np.linspace(0, 1, 5), np.array([1.0, 2.0]))(np.array([0.0, 1.0]))
    assert np.isfinite(std).all()
    assert (std > 0).all()


def test_without_errors_it_is_the_spread_of_the_responses():
    errors = np.full((5, 2), np.nan)
    std = Spread.fit(errors, np.zeros(5), np.array([1.0, 2.0]))(np.zeros(1))
    np.testing.assert_allclose(std, [[1, 2]])
