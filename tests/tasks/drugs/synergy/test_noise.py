"""Errors of predicted synergy."""

from __future__ import annotations

import numpy as np
import pytest

from scmomer.metrics import interval_coverage
from scmomer.tasks.drugs.synergy._noise import SynergyNoise

N = 4000


@pytest.fixture
def world() -> dict[str, np.ndarray]:
    """Errors of Student's t whose size is 2 + the spread of members."""
    rng = np.random.default_rng(0)
    spread = rng.gamma(2.0, 1.0, N)
    predicted = rng.normal(10, 5, N)
    observed = predicted + (2 + spread) * rng.standard_t(5, N)
    return {"observed": observed, "predicted": predicted, "spread": spread}


def half(world, first: bool) -> dict[str, np.ndarray]:
    return {k: v[: N // 2] if first else v[N // 2 :] for k, v in world.items()}


def test_intervals_cover_other_rows(world):
    noise = SynergyNoise.fit(**half(world, True), center=10.0)
    test = half(world, False)
    std = noise.std(test["predicted"], test["spread"])
    assert 0.88 < interval_coverage(test["observed"], test["predicted"], std) < 0.92
    wide = test["spread"] > np.median(test["spread"])
    for part in (wide, ~wide):
        found = interval_coverage(test["observed"][part], test["predicted"][part], std[part])
        assert 0.87 < found < 0.93


def test_probabilities_are_shares(world):
    noise = SynergyNoise.fit(**half(world, True), center=10.0)
    test = half(world, False)
    p = noise.probability(test["predicted"], 15.0)
    positive = test["observed"] > 15
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1)):
        part = (p >= low) & (p < high)
        assert p[part].mean() == pytest.approx(positive[part].mean(), abs=0.05)
    assert noise.probability(np.array([15.0]), 15.0) == pytest.approx(0.5)


def test_antagonism_is_no_synergy():
    """Errors that are large only below low predictions do not make synergy probable there."""
    rng = np.random.default_rng(0)
    predicted = rng.normal(0, 20, N)
    error = np.abs(rng.normal(0, 5, N))
    down = rng.random(N) < 0.5
    observed = predicted + np.where(down, -error * (1 + np.maximum(-predicted, 0) / 5), error)
    noise = SynergyNoise.fit(observed, predicted, np.zeros(N), 0.0)
    grid = np.linspace(-80, 80, 50)
    p = noise.probability(grid, 30.0)
    assert (np.diff(p) >= 0).all() and p[0] < 1e-3
    std = noise.std(grid, np.zeros(50))
    assert std[0] > 3 * std[25]


def test_perfect_and_few_rows():
    y = np.array([1.0, 2.0, 3.0])
    noise = SynergyNoise.fit(y, y, np.zeros(3), 2.0)
    std = noise.std(y, np.zeros(3))
    assert np.isfinite(std).all() and (std > 0).all() and 2 <= noise.df <= 100
    assert np.isfinite(noise.probability(y, 2.5)).all()
