"""Distance to the nearest type, in units of the variation within types."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from scmomer.tasks.annotation import _novelty
from scmomer.tasks.annotation._novelty import ClassMahalanobis


@pytest.fixture
def reference():
    """Three types of 200 cells that differ along the first axis and vary along the second."""
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1, 2], 200)
    z = rng.normal(0, [0.3, 5, 1], (600, 3)) + np.outer(codes, [4, 0, 0])
    return z.astype(np.float32), codes


def test_it_is_the_mahalanobis_distance_to_the_nearest_center(reference):
    z, codes = reference
    found = ClassMahalanobis.fit(z, codes)
    means = np.stack([z[codes == k].mean(0) for k in range(3)])
    within = LedoitWolf(assume_centered=True).fit(z - means[codes]).covariance_
    asked = np.random.default_rng(1).normal(0, 8, (40, 3)).astype(np.float32)
    apart = asked[:, None] - means  # (n, n_classes, 3)
    squares = np.einsum("nci,ij,ncj->nc", apart, np.linalg.inv(within), apart)
    expected = np.sqrt(squares.min(1))
    np.testing.assert_allclose(found.novelty(asked) * found.scale, expected, rtol=1e-3)


def test_typical_cells_have_one(reference):
    z, codes = reference
    found = ClassMahalanobis.fit(z, codes)
    assert np.median(found.novelty(z)) == pytest.approx(1, abs=0.02)
    assert np.median(found.reference_novelty) == pytest.approx(1, abs=1e-6)
    assert (np.diff(found.reference_novelty) >= 0).all()


def test_a_new_type_is_further_than_a_cell_that_varies_as_others_do(reference):
    found = ClassMahalanobis.fit(*reference)
    between, outer = np.float32([[2, 0, 0]]), np.float32([[4, 10, 0]])  # the second is further off
    assert found.novelty(between) > 2 * found.novelty(outer)


def test_cells_have_no_part_in_the_class_mean_that_they_are_compared_with():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(150), 2)  # half of each center is the cell itself
    z = (rng.normal(0, 1, (300, 4)) + 50 * rng.normal(0, 1, (150, 4))[codes]).astype(np.float32)
    found = ClassMahalanobis.fit(z, codes)
    unseen = z + rng.normal(0, 1e-3, z.shape).astype(np.float32)
    np.testing.assert_allclose(
        np.sort(found.novelty(unseen)), found.reference_novelty / 2, rtol=0.05, atol=0.02
    )


def test_blocks_change_nothing(reference, monkeypatch):
    z, codes = reference
    whole = ClassMahalanobis.fit(z, codes)
    monkeypatch.setattr(_novelty, "_CELLS_PER_BLOCK", 7)
    parts = ClassMahalanobis.fit(z, codes)
    np.testing.assert_allclose(parts.reference_novelty, whole.reference_novelty, rtol=1e-5)
    np.testing.assert_allclose(parts.novelty(z), whole.novelty(z), rtol=1e-5)


def test_units_do_not_matter(reference):
    z, codes = reference
    np.testing.assert_allclose(
        ClassMahalanobis.fit(100 * z, codes).novelty(100 * z),
        ClassMahalanobis.fit(z, codes).novelty(z),
        rtol=1e-3,
    )


@pytest.mark.parametrize("columns", [1, 3])
def test_directions_in_which_no_type_varies_give_numbers(reference, columns):
    z, codes = reference
    z = z.copy()
    z[:, :columns] = codes[:, None]  # the types are points there
    found = ClassMahalanobis.fit(z, codes)
    assert np.isfinite(found.novelty(z)).all() and np.isfinite(found.reference_novelty).all()
    assert found.novelty(z + 10).min() > found.novelty(z).max()


def test_no_cells_have_no_novelty(reference):
    assert ClassMahalanobis.fit(*reference).novelty(np.zeros((0, 3), np.float32)).shape == (0,)
