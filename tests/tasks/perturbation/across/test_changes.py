"""Changes against matched controls, by plain code."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scmomer.tasks.perturbation.across import group_means, measured_changes, predicted_change


def test_means_and_their_errors_from_chunks():
    rng = np.random.default_rng(0)
    values, codes = rng.normal(size=(50, 4)).astype(np.float32), np.arange(50) % 4 - 1
    chunks = [(slice(i, i + 7), values[i : i + 7]) for i in range(0, 50, 7)]
    found = group_means(chunks, codes, 4, 4)
    for group in range(3):
        mine = values[codes == group].astype(np.float64)
        np.testing.assert_allclose(found.mean[group], mine.mean(0))
        np.testing.assert_allclose(found.variance[group], mine.var(0, ddof=1) / len(mine))
    assert found.sizes.tolist() == [13, 12, 12, 0] and not found.mean[3].any()


def test_controls_are_those_of_the_group_and_batch(refuses):
    keys = pd.DataFrame(
        [("", "g", "1"), ("", "g", "2"), ("A", "g", "1"), ("A", "g", "2"), ("A", "h", "1")],
        columns=["perturbation", "group", "batch"],
    )
    values = np.array([[0.0], [10], [1], [14], [99]])
    sizes = [2, 4, 3, 1, 5]
    codes = np.repeat(np.arange(5), sizes)
    means = group_means([(slice(None), values[codes])], codes, 5, 1)
    found = measured_changes(means, keys, "")
    # 3 cells gain 1 and 1 cell gains 4; there is no control in "h".
    np.testing.assert_allclose(found.change, [[(3 * 1 + 1 * 4) / 4]])
    np.testing.assert_allclose(found.control, [[2.5]])
    assert found.table.to_dict("records") == [
        {"perturbation": "A", "group": "g", "status": "measured", "n_cells": 4, "n_control": 6}
    ]
    with refuses(ValueError, "controls in the same group and batch", "batch_key="):
        measured_changes(means, keys.assign(batch=["1", "2", "3", "3", "3"]), "")


def test_each_control_is_compared_with_itself():
    rng = np.random.default_rng(0)
    old, apart = rng.normal(size=(20, 3)), rng.normal(1, 1, size=(20, 3))
    parts = [slice(0, 12), slice(12, 20)]
    found = predicted_change([old[p] for p in parts], ((old + apart)[p] for p in parts))
    expected = apart.mean(0), old.mean(0), apart.var(0, ddof=1) / 20
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other)
