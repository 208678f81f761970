from __future__ import annotations

import numpy as np

from scmomer.tasks.drugs._settings import ResponseUnits


def test_units_of_each_drug(matrix):
    units = ResponseUnits.fit(matrix)
    np.testing.assert_allclose(units.mean, np.nanmean(matrix, 0))
    np.testing.assert_allclose(units.scale, np.nanstd(matrix, 0))
    np.testing.assert_allclose(units.restore(units.standardize(matrix)), matrix)


def test_drugs_that_hardly_vary_and_without_responses(matrix):
    matrix[:, 0] = 2.0
    matrix[:, 1] = np.nan
    matrix[1:, 2] = np.nan
    matrix[0, 2] = 7.0
    units = ResponseUnits.fit(matrix)
    spread = np.nanstd(matrix)
    np.testing.assert_allclose(units.mean[:3], [2, np.nanmean(matrix), 7])
    np.testing.assert_allclose(units.scale[:3], [0.1 * spread, spread, 0.1 * spread], rtol=1e-5)
