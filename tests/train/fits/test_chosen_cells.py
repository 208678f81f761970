"""Cells that fits read, and least squares on them."""

from __future__ import annotations

import numpy as np

from scmomer.train.fits._chosen_cells import cells_with, center_within, slopes_within, thinned


def test_cells_with_all_modalities_are_sorted_and_thinned(make_cells):
    cells = make_cells(without={"rna": [0, 1], "atac": [2]})
    train = np.random.default_rng(0).permutation(60)[:40]
    expected = np.setdiff1d(np.sort(train), [0, 1, 2])
    np.testing.assert_array_equal(cells_with(cells, train, ("rna", "atac"), 100), expected)
    few = cells_with(cells, train, ("rna", "atac"), 7)
    assert len(few) <= 7 and np.isin(few, expected).all()
    assert len(cells_with(cells, train[:0], ("rna",), 7)) == 0


def test_wanted_cells_are_sorted_and_thinned():
    train, is_wanted = np.array([9, 3, 5, 0, 7]), np.arange(10) != 5
    np.testing.assert_array_equal(thinned(train, is_wanted, 4), [0, 3, 7, 9])
    np.testing.assert_array_equal(thinned(train, is_wanted, 3), [0, 7])
    assert len(thinned(train, np.zeros(10, bool), 3)) == 0


def test_means_of_batches_are_taken_away():
    values, batch = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    found = center_within(values, batch)
    for one in range(3):
        np.testing.assert_allclose(found[batch == one].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(center_within(values, None), values - values.mean(0))
    np.testing.assert_allclose(center_within(values, np.zeros(30)), values - values.mean(0))


def test_slopes_are_those_of_regression_with_batches():
    rng = np.random.default_rng(0)
    z, batch = rng.normal(size=(300, 4)), rng.integers(3, size=300)
    expression = rng.poisson(1, (300, 6)) + z @ rng.normal(size=(4, 6)) + batch[:, None]
    design = np.hstack([z, np.eye(3)[batch]])
    expected = np.linalg.lstsq(design, expression, rcond=None)[0][:4].T
    np.testing.assert_allclose(slopes_within(z, expression, batch), expected, rtol=0.01, atol=0.002)
