from __future__ import annotations

import numpy as np
import pytest

from scmomer.tasks.drugs._mixing import WEIGHTS, group_folds, network_weight

FOLDS = [np.arange(0, 10), np.arange(10, 20), np.arange(20, 30)]


def loss_of(gain: np.ndarray):
    return lambda weight: 1 - weight * gain


def test_a_clear_gain_counts(caplog):
    gain = np.random.default_rng(0).normal(1, 0.1, 30)
    with caplog.at_level("INFO", logger="scmomer"):
        assert network_weight(loss_of(gain), FOLDS, "lines") == WEIGHTS[-1]
    assert "New lines: the network counts 30%, by held-out lines" in caplog.text


def test_the_best_weight_is_taken():
    weight = WEIGHTS[1]
    assert network_weight(lambda w: np.full(30, (w - weight) ** 2), FOLDS, "lines") == weight


@pytest.mark.parametrize("gain", [-np.ones(30), np.zeros(30), np.repeat([1.0, -0.5, -0.2], 10)])
def test_no_clear_gain(gain, caplog):
    with caplog.at_level("INFO", logger="scmomer"):
        assert network_weight(loss_of(gain), FOLDS, "drugs") == 0
    assert "New drugs: the naive prediction is used" in caplog.text


def test_one_fold_tells_nothing():
    assert network_weight(loss_of(np.ones(30)), [np.arange(30)], "lines") == 0


def test_missing_losses_do_not_count():
    gain = np.where(np.arange(30) % 2, 1.0, np.nan)
    assert network_weight(loss_of(gain), FOLDS, "lines") == WEIGHTS[-1]


@pytest.mark.parametrize("n_folds", [2, 5, 100])
def test_group_folds(n_folds):
    groups = np.array([5, 5, 7, 1, 1, 1, 9, 2, 3, 3])
    folds = group_folds(groups, n_folds, np.random.default_rng(0))
    assert len(folds) == min(n_folds, 6)
    assert sorted(np.concatenate(folds)) == list(range(10))
    assert all(len(fold) for fold in folds)
    for fold in folds:
        rest = np.setdiff1d(np.arange(10), fold)
        assert not set(groups[fold]) & set(groups[rest])
