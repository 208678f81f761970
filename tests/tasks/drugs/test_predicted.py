from __future__ import annotations

import numpy as np

from scmomer.tasks.drugs._predicted import Predicted


def test_parts_come_back_where_they_were_put():
    whole = Predicted.empty(4, 3)
    assert np.isnan(whole.mean).all()
    part = Predicted(*(np.full((2, 3), float(i)) for i in range(3)))
    rows = np.array([False, True, False, True])
    whole.put(part, rows)
    np.testing.assert_array_equal(whole.std[rows], 1.0)
    assert np.isnan(whole.naive[~rows]).all()
    whole.put(part.take(np.array([0, 2])), slice(0, 2), np.array([True, False, True]))
    assert np.isfinite(whole.mean[0, [0, 2]]).all()
    assert np.isnan(whole.mean[0, 1])
