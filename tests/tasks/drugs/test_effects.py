from __future__ import annotations

import numpy as np
import pytest

from scmomer.tasks.drugs._effects import complete, mean_effects, soft_impute


def least_squares(values: np.ndarray) -> np.ndarray:
    """Fitted values of measured pairs, by dummy variables."""
    line, drug = np.nonzero(np.isfinite(values))
    design = np.zeros((len(line), sum(values.shape)))
    design[np.arange(len(line)), line] = 1
    design[np.arange(len(line)), values.shape[0] + drug] = 1
    target = values[line, drug]
    return design @ np.linalg.lstsq(design, target, rcond=None)[0]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("gaps", [0.0, 0.3, 0.8])
def test_mean_effects_are_least_squares(turned, gaps):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 12)) + 3 * rng.normal(size=12)
    values[rng.random(values.shape) < gaps] = np.nan
    values = values.T if turned else values
    found = mean_effects(values)
    here = np.isfinite(values)
    np.testing.assert_allclose(found.matrix[here], least_squares(values), atol=1e-8)
    assert abs(found.drug[here.any(0)].mean()) < 1e-9
    assert abs(found.line[here.any(1)].mean()) < 1e-9


def test_lines_and_drugs_without_responses_are_average(matrix):
    matrix[3], matrix[:, 5] = np.nan, np.nan
    found = mean_effects(matrix)
    assert found.line[3] == 0
    assert found.drug[5] == 0
    assert np.isfinite(found.matrix).all()


def test_mean_effects_of_apart_blocks_are_finite():
    values = np.full((6, 4), np.nan)
    values[:3, :2], values[3:, 2:] = 1.0, 5.0
    np.testing.assert_allclose(
        mean_effects(values).matrix[np.isfinite(values)], [1.0] * 6 + [5] * 6
    )


def low_rank(noise: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(80, 2)) @ rng.normal(size=(2, 30)) + noise * rng.normal(size=(80, 30))


def test_soft_impute_recovers_a_matrix_of_low_rank():
    truth = low_rank()
    gap = np.random.default_rng(1).random(truth.shape) < 0.3
    found = soft_impute(np.where(gap, np.nan, truth), 0.02)
    assert np.corrcoef(found[gap], truth[gap])[0, 1] > 0.99
    assert np.abs(found - truth)[gap].mean() < 0.1 * truth.std()


@pytest.mark.parametrize("unit", [0.01, 1000.0])
def test_soft_impute_does_not_depend_on_units(unit):
    values = low_rank(noise=0.3)
    values[::7, ::3] = np.nan
    np.testing.assert_allclose(
        soft_impute(values * unit, 0.2), soft_impute(values, 0.2) * unit, rtol=1e-9
    )


def test_shrinkage_of_one_leaves_nothing_of_noise():
    noise = np.random.default_rng(0).normal(size=(200, 50))
    assert (soft_impute(noise, 1.05) == 0).all()
    assert (soft_impute(noise, 0.5) != 0).any()


def test_soft_impute_of_unmeasured_and_of_nothing():
    values = low_rank()
    values[2], values[:, 3] = np.nan, np.nan
    found = soft_impute(values, 0.1)
    np.testing.assert_allclose(found[2], 0, atol=1e-12)
    np.testing.assert_allclose(found[:, 3], 0, atol=1e-12)
    assert (soft_impute(np.zeros((3, 2)), 0.1) == 0).all()
    assert (soft_impute(np.full((3, 2), np.nan), 0.1) == 0).all()


def test_complete_adds_what_responses_say_to_profiles():
    from_profiles = low_rank()
    line, drug = np.linspace(-1, 1, 80)[:, None], np.linspace(-2, 2, 30)
    truth = from_profiles + line + drug
    gap = np.random.default_rng(1).random(truth.shape) < 0.3
    np.testing.assert_allclose(complete(np.where(gap, np.nan, truth), from_profiles), truth)
    # Without responses, a line is what its profile says, moved as drugs are.
    unmeasured = np.where(np.arange(80)[:, None] == 4, np.nan, truth)
    moved = complete(unmeasured, from_profiles)[4] - from_profiles[4]
    np.testing.assert_allclose(moved - moved.mean(), drug, atol=1e-9)
    nothing = complete(np.full(truth.shape, np.nan), from_profiles)
    np.testing.assert_array_equal(nothing, from_profiles)
