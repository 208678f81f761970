from __future__ import annotations

import numpy as np
import pytest

from scmomer.tasks.drugs import read_molecules
from scmomer.tasks.drugs._published import fit_published
from scmomer.tasks.drugs._settings import ResponseSettings

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")


@pytest.fixture
def inputs(screen):
    values = screen.values.to_numpy()[:60]
    validation = np.isfinite(values) & (np.random.default_rng(0).random(values.shape) < 0.1)
    return values, validation, [np.asarray(screen.cells.X)[:60]], read_molecules(screen.drugs)


def predict(fitted, blocks):
    new = np.full(len(blocks[0]), -1)
    return fitted.predict(fitted.standardize(blocks), new, fitted.molecules)


def test_it_learns(inputs, monkeypatch):
    monkeypatch.setattr("scmomer.tasks.drugs._published._EPOCHS", 10)
    values, validation, blocks, molecules = inputs
    fitted = fit_published(values, validation, blocks, molecules, ResponseSettings())
    found = predict(fitted, blocks)
    assert np.corrcoef(found.mean[validation], values[validation])[0, 1] > 0.3
    errors = (found.mean - values)[validation]
    np.testing.assert_allclose(fitted.std, np.sqrt((errors**2).mean()), rtol=1e-4)
    np.testing.assert_array_equal(found.std, fitted.std)
    train = np.isfinite(values) & ~validation
    np.testing.assert_allclose(found.naive, values[train].mean())


def test_it_repeats(inputs, few_epochs):
    one, other = (predict(fit_published(*inputs, ResponseSettings()), inputs[2]) for _ in range(2))
    np.testing.assert_array_equal(one.mean, other.mean)


def test_validation_does_not_train(inputs, monkeypatch):
    """Neither responses nor, if drugs are in validation alone, their molecules."""
    monkeypatch.setattr("scmomer.tasks.drugs._published._EPOCHS", 1)
    values, _, blocks, molecules = inputs
    validation = np.isfinite(values) & (np.arange(12) >= 9)
    changed = np.where(validation, values + np.arange(60)[:, None], values)
    names = molecules.names[[*range(9), 0, 1, 2]]
    others = molecules.take(names).renamed(molecules.names)
    weights = [
        fit_published(v, validation, blocks, m, ResponseSettings()).network.state_dict()
        for v, m in ((values, molecules), (changed, molecules), (values, others))
    ]
    for name, tensor in weights[0].items():
        assert all((other[name] == tensor).all() for other in weights[1:]), name


def test_drugs_in_validation_alone_have_units(inputs, few_epochs):
    values, _, blocks, molecules = inputs
    validation = np.isfinite(values) & (np.arange(12) == 3)
    fitted = fit_published(values, validation, blocks, molecules, ResponseSettings())
    assert np.isfinite(fitted.units.mean).all()
    assert np.isfinite(predict(fitted, blocks).naive).all()
