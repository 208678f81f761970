from __future__ import annotations

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from scmomer.tasks.drugs._line_kernel import (
    _RIDGE,
    LineRegression,
    Standardizer,
    denoised_responses,
    line_kernel,
    nearest_distance,
    without_gaps,
)


@pytest.fixture
def blocks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(40, 30)), rng.normal(size=(40, 5))]


def test_standardizer():
    x = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    scale = Standardizer.fit(x)
    np.testing.assert_allclose(scale(x)[:, 0], [-np.sqrt(1.5), 0, np.sqrt(1.5)])
    # A gene that is constant in training says nothing of any cell.
    np.testing.assert_array_equal(scale(np.array([[2.0, 9.0]])), [[0.0, 0.0]])
    assert scale(np.array([[1e6, 1.0]]))[0, 0] == 2.5
    assert np.isnan(scale(np.array([[np.nan, 1.0]]))[0, 0])


def test_kernel_is_one_of_a_line_with_itself_and_counts_blocks_alike(blocks):
    kernel = line_kernel(blocks, blocks)
    np.testing.assert_allclose(np.diag(kernel), 1)
    assert ((kernel > 0) & (kernel <= 1)).all()
    a, b = (line_kernel([x], [x]) for x in blocks)
    np.testing.assert_allclose(kernel, np.sqrt(a * b))


def test_features_that_a_query_lacks_are_left_out(blocks):
    some = [blocks[0].copy(), blocks[1]]
    some[0][:, 10:] = np.nan
    np.testing.assert_allclose(
        line_kernel(some, blocks),
        line_kernel([blocks[0][:, :10], blocks[1]], [x[:, :10] for x in blocks]),
    )


def test_without_gaps_raises_what_is_left():
    x = np.array([[1.0, np.nan], [2.0, np.nan]])
    y = np.array([[3.0], [4.0]])
    np.testing.assert_array_equal(without_gaps([x, y]), [[2, 0, 3], [4, 0, 4]])
    np.testing.assert_array_equal(without_gaps([y, y]), np.hstack([y, y]))


def test_regression_is_kernel_ridge_on_denoised_responses(blocks, matrix):
    fitted = LineRegression.fit([x[:30] for x in blocks], matrix[:30])
    new = [x[30:] for x in blocks]
    mean, deviations = denoised_responses(matrix[:30])
    center = deviations.mean(0)
    ridge = KernelRidge(alpha=_RIDGE, kernel="precomputed")
    ridge.fit(line_kernel(fitted.blocks, fitted.blocks), deviations - center)
    expected = mean + center + ridge.predict(line_kernel(new, fitted.blocks))
    np.testing.assert_allclose(fitted.predict(new), expected)


def test_denoised_responses_have_no_gaps(matrix):
    mean, deviations = denoised_responses(matrix)
    assert np.isfinite(deviations).all()
    r = np.corrcoef((mean + deviations)[np.isfinite(matrix)], matrix[np.isfinite(matrix)])[0, 1]
    assert r > 0.9


def test_novelty_and_distance(blocks, matrix):
    fitted = LineRegression.fit([x[:30] for x in blocks], matrix[:30])
    near, far = fitted.blocks, [10 + x[:30] for x in blocks]
    assert (fitted.novelty(near) < fitted.novelty(far)).all()
    np.testing.assert_allclose(fitted.novelty(far), 1)
    assert (fitted.distance(near) == 0).all()
    assert not np.signbit(fitted.distance(near)).any()
    moved = [x + 0.5 for x in near]
    assert (fitted.distance(moved) <= 0.5 + 1e-9).all()
    alone = nearest_distance(near, near, skip_self=True)
    d = np.sqrt(sum(((x[:, None] - x[None]) ** 2).mean(2) for x in near) / 2)
    np.fill_diagonal(d, np.inf)
    np.testing.assert_allclose(alone, d.min(1))
