"""``label_calibration``."""

from __future__ import annotations

import numpy as np
import pytest

from scmomer.metrics import label_calibration


def test_known_answer():
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.65, 0.35]])
    found = label_calibration(["a", "b", "b", "x"], p, ["a", "b"])
    # Bin 0.9-1: half right, confidence 0.95; bin 0.6-0.7: half right, confidence 0.65.
    assert found["expected_calibration_error"] == pytest.approx(0.5 * 0.45 + 0.5 * 0.15)
    assert found["overconfidence"] == pytest.approx(0.8 - 0.5)
    brier = 2 * 0.05**2 + 2 * 0.95**2 + 2 * 0.35**2 + 0.65**2 + 0.35**2
    assert found["brier"] == pytest.approx(brier / 4)


def test_certain_and_right_is_zero():
    p = np.eye(3)[[0, 1, 2, 0]]
    found = label_calibration([*"abca"], p, [*"abc"])
    assert found == {"expected_calibration_error": 0, "overconfidence": 0, "brier": 0}


def test_labels_drawn_from_the_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], 20_000)
    y = (rng.random(20_000)[:, None] > p.cumsum(1)).sum(1)
    found = label_calibration(y, p, [0, 1, 2])
    assert found["expected_calibration_error"] < 0.015 and abs(found["overconfidence"]) < 0.01
    sharp = p**3 / (p**3).sum(1, keepdims=True)
    worse = label_calibration(y, sharp, [0, 1, 2])
    assert worse["expected_calibration_error"] > 0.1 and worse["brier"] > found["brier"]
    assert worse["overconfidence"] == pytest.approx(worse["expected_calibration_error"], abs=0.01)


def test_refuses_what_are_no_probabilities(refuses):
    p = np.array([[0.5, 0.5], [0.2, 0.8]])
    with refuses(ValueError, "`classes`", "(3,)"):
        label_calibration([*"ab"], p, [*"abc"])
    with refuses(ValueError, "sum 1", "2"):
        label_calibration([*"ab"], 2 * p, [*"ab"])
    with refuses(ValueError, "`n_bins`", "0"):
        label_calibration([*"ab"], p, [*"ab"], n_bins=0)
    with refuses(ValueError, "`truth`", "(3,)"):
        label_calibration([*"abb"], p, [*"ab"])
