from __future__ import annotations

import numpy as np
import pytest

from scmomer.tasks.drugs import molecule_graphs, read_molecules
from scmomer.tasks.drugs._held_out_drugs import _correlations, fit_member, hold_out_drugs
from scmomer.tasks.drugs._mixing import group_folds
from scmomer.tasks.drugs._settings import ResponseSettings

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")


@pytest.fixture(scope="module")
def large(make_screen):
    return make_screen(n_lines=40, n_drugs=24)


def test_correlations_are_those_of_measured_lines(matrix):
    predicted = np.random.default_rng(1).normal(size=matrix.shape)
    predicted[:, 2] = 1.0
    found = _correlations(matrix, predicted)
    for j in (0, 1, 5):
        here = np.isfinite(matrix[:, j])
        np.testing.assert_allclose(found[j], np.corrcoef(matrix[here, j], predicted[here, j])[0, 1])
    assert found[2] == 0


def test_members_read_their_own_drugs_alone(large, few_epochs):
    deviations = large.truth.to_numpy() - large.truth.to_numpy().mean(0)
    graphs = molecule_graphs(large.drugs.tolist())
    train = np.arange(16)
    changed = deviations.copy()
    changed[:, 16:] = 77.0
    one, other = (
        fit_member(x, graphs, train, ResponseSettings(), 0).predict(x, graphs)
        for x in (deviations, changed)
    )
    np.testing.assert_array_equal(one, other)
    assert one.shape == deviations.shape


def test_held_out_drugs_tell_nothing_of_themselves(large, few_epochs, monkeypatch):
    """Completion included: their values are in no deviation that predicts them."""
    seen = {}

    def spy(loss, folds, what):
        seen["loss"] = loss
        return 0.0

    monkeypatch.setattr("scmomer.tasks.drugs._held_out_drugs.network_weight", spy)
    molecules = read_molecules(large.drugs)
    values = large.values.to_numpy()
    fold = group_folds(molecules.group, 3, np.random.default_rng(0))[0]
    flipped = values.copy()
    flipped[:, fold] = 2 * np.nanmean(values[:, fold], 0) - values[:, fold]
    losses = []
    for table in (values, flipped):
        hold_out_drugs(table, np.zeros(table.shape), molecules, ResponseSettings(n_members=3))
        losses.append([seen["loss"](w)[fold] for w in (0.0, 0.3)])
    # Correlations with flipped values are exactly those with values, with the other sign.
    np.testing.assert_allclose(losses[0], -np.array(losses[1]), atol=1e-9)


def test_few_molecules_have_the_spread_of_all_responses(screen, caplog):
    values = screen.values.to_numpy()
    with caplog.at_level("INFO", logger="scmomer"):
        found = hold_out_drugs(values, values, read_molecules(screen.drugs), ResponseSettings())
    assert "Fewer than 20 molecules: no drug branch." in caplog.text
    np.testing.assert_allclose(found.spread(np.zeros(1)), np.nanstd(values))
    assert found.members == []


def test_new_drugs_have_errors_of_held_out_drugs(large, few_epochs):
    values = large.values.to_numpy()
    molecules = read_molecules(large.drugs)
    found = hold_out_drugs(values, np.zeros(values.shape), molecules, ResponseSettings(n_members=3))
    std = found.spread(np.array([0.2]))[0, 0]
    assert 0.3 * np.nanstd(values) < std < 2 * np.nanstd(values)
