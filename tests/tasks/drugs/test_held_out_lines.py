from __future__ import annotations

import numpy as np

from scmomer.tasks.drugs._held_out_lines import hold_out_lines
from scmomer.tasks.drugs._line_kernel import LineRegression
from scmomer.tasks.drugs._mixing import group_folds
from scmomer.tasks.drugs._settings import ResponseSettings


def _inputs(screen):
    return screen.values.to_numpy()[:60].copy(), [np.asarray(screen.cells.X)[:60]]


def test_lines_are_predicted_by_others_alone(screen, few_epochs, monkeypatch):
    """What a line responded changes nothing of its own prediction, with any weight."""
    values, features = _inputs(screen)
    settings = ResponseSettings(n_members=3)
    fold = group_folds(np.arange(60), 3, np.random.default_rng(0))[1]
    changed = values.copy()
    changed[fold] = 100.0
    for weights in ((0.0,), (0.3, 0.0)):
        monkeypatch.setattr(
            "scmomer.tasks.drugs._held_out_lines.network_weight", lambda *_, w=weights: w[0]
        )
        one, other = (hold_out_lines(v, features, settings) for v in (values, changed))
        np.testing.assert_array_equal(one.prediction[fold], other.prediction[fold])
        assert not np.allclose(one.prediction, other.prediction)


def test_the_mean_of_a_drug_does_not_tell_of_its_only_line(screen, few_epochs, monkeypatch):
    monkeypatch.setattr("scmomer.tasks.drugs._held_out_lines.network_weight", lambda *_: 0.3)
    values, features = _inputs(screen)
    values[:, 0] = np.nan
    values[5, 0] = 50.0
    found = hold_out_lines(values, features, ResponseSettings(n_members=3))
    assert np.isfinite(found.prediction).all()
    assert abs(found.prediction[5, 0]) < 10


def test_predictions_are_those_of_the_regression_of_other_folds(screen, few_epochs, monkeypatch):
    monkeypatch.setattr("scmomer.tasks.drugs._held_out_lines.network_weight", lambda *_: 0.0)
    values, features = _inputs(screen)
    found = hold_out_lines(values, features, ResponseSettings(n_members=2))
    fold = group_folds(np.arange(60), 2, np.random.default_rng(0))[0]
    rest = np.setdiff1d(np.arange(60), fold)
    fitted = LineRegression.fit([features[0][rest]], values[rest])
    np.testing.assert_array_equal(found.prediction[fold], fitted.predict([features[0][fold]]))
    assert found.branches == []


def test_more_members_than_lines(screen, few_epochs):
    values, features = _inputs(screen)
    found = hold_out_lines(values[:12], [features[0][:12]], ResponseSettings(n_members=50))
    assert np.isfinite(found.prediction).all()
    assert len(found.branches) in (0, 12)


def test_a_useful_network_counts(screen):
    values, features = _inputs(screen)
    assert hold_out_lines(values, features, ResponseSettings(n_members=3)).weight > 0
    noise = np.random.default_rng(0).normal(size=values.shape)
    assert hold_out_lines(noise, features, ResponseSettings(n_members=3)).branches == []
