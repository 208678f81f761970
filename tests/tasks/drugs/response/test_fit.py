from __future__ import annotations

import numpy as np
import pytest

from scmomer.metrics import interval_coverage
from scmomer.tasks.drugs import read_molecules
from scmomer.tasks.drugs.response._fit import _pair_std, fit_response
from scmomer.tasks.drugs.response._settings import ResponseSettings

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")


def fit(values, genes, drugs, **settings):
    return fit_response(
        values, [genes], read_molecules(drugs), ResponseSettings(**{"n_members": 2, **settings})
    )


@pytest.mark.parametrize("seed", range(3))
def test_intervals_of_new_lines_cover(make_screen, seed):
    screen = make_screen(n_lines=260, seed=seed)
    genes = np.asarray(screen.cells.X)
    fitted = fit(screen.values.to_numpy()[:60], genes[:60], screen.drugs, n_members=3)
    features = fitted.standardize([genes[60:]])
    found = fitted.predict(features, np.full(200, -1), fitted.molecules)
    assert 0.85 < interval_coverage(screen.values[60:], found.mean, found.std) < 0.95


def test_intervals_of_known_pairs_cover(make_screen):
    screen = make_screen(n_lines=60, gaps=0.4)
    whole = make_screen(n_lines=60, gaps=0.0)
    fitted = fit(screen.values.to_numpy(), np.asarray(screen.cells.X), screen.drugs)
    gap = screen.values.isna().to_numpy()
    observed = whole.truth.to_numpy() + 0.4 * np.random.default_rng(9).normal(size=gap.shape)
    found = fitted.completed
    coverage = interval_coverage(
        observed[gap], found[gap], np.broadcast_to(fitted.pair_std, gap.shape)[gap]
    )
    assert 0.85 < coverage < 0.97


def test_small_tables_have_standard_deviations():
    """Ten lines and two drugs: whatever is held out, there is an error."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        values = rng.normal(size=(10, 2))
        values[rng.random(values.shape) < 0.2] = np.nan
        std = _pair_std(values, np.zeros(values.shape), np.ones(2), seed)
        assert (std > 0.2).all()
        assert np.isfinite(std).all()


@pytest.mark.parametrize("change", ["constant drug", "constant gene", "one line", "two drugs"])
def test_degenerate_screens(make_screen, few_epochs, change):
    screen = make_screen(n_lines=12)
    values, genes = screen.values.to_numpy().copy(), np.asarray(screen.cells.X).copy()
    drugs = screen.drugs
    if change == "constant drug":
        values[:, 0] = 3.0
    elif change == "constant gene":
        genes[:, 0] = 3.0
    elif change == "one line":
        values[1:, 0] = np.nan
    else:
        values, drugs = values[:, :2], drugs.iloc[:2]
        values = np.where(np.isfinite(values).any(1, keepdims=True), values, 0.0)
    fitted = fit(values, genes, drugs)
    new = genes + 0.1
    for known in (np.arange(12), np.full(12, -1)):
        for molecules in (fitted.molecules, read_molecules({"new": "CCCC(=O)OC"})):
            found = fitted.predict(fitted.standardize([new]), known, molecules)
            assert np.isfinite(found.mean).all()
            assert np.isfinite(found.std).all()
            assert (found.std > 0).all()
    if change == "constant drug":
        assert np.abs(fitted.completed[:, 0] - 3).max() < 1.5


def test_units_of_the_responses_do_not_matter(make_screen, few_epochs):
    """The same screen in units a hundred times smaller, such as AUC."""
    screen = make_screen()
    values, genes = screen.values.to_numpy(), np.asarray(screen.cells.X)
    one, other = (fit(v, genes, screen.drugs) for v in (values, values / 100))
    np.testing.assert_allclose(other.completed * 100, one.completed, atol=1e-3)
    np.testing.assert_allclose(other.pair_std * 100, one.pair_std, rtol=1e-2)
    features = one.standardize([genes + 0.3])
    new = np.full(60, -1)
    for name in ("naive", "std"):
        a, b = (getattr(f.predict(features, new, f.molecules), name) for f in (one, other))
        np.testing.assert_allclose(b * 100, a, rtol=1e-2, atol=1e-2)


def test_genes_that_a_query_lacks(make_screen):
    """Predictions do not fall back to the mean, and intervals still cover most."""
    screen = make_screen(n_lines=160, n_genes=200)
    genes = np.asarray(screen.cells.X)
    fitted = fit(screen.values.to_numpy()[:60], genes[:60], screen.drugs)
    truth = screen.truth.to_numpy()[60:]

    def predict(query):
        return fitted.predict(fitted.standardize([query]), np.full(100, -1), fitted.molecules)

    whole = predict(genes[60:])
    some = genes[60:].copy()
    some[:, ::2] = np.nan
    found = predict(some)
    rmse = [np.sqrt(np.mean((p.mean - truth) ** 2)) for p in (whole, found)]
    assert rmse[1] < 1.15 * rmse[0]
    assert interval_coverage(truth, found.mean, found.std) > 0.8


def test_drug_branch(make_screen, monkeypatch):
    """New drugs: of known lines and of new ones, which are less certain."""
    monkeypatch.setattr("scmomer.tasks.drugs.response._train.N_EPOCHS", 2)
    monkeypatch.setattr(
        "scmomer.tasks.drugs.response._held_out_drugs.network_weight", lambda *_: 0.3
    )
    screen = make_screen(n_lines=80, n_drugs=24)
    values, genes = screen.values.to_numpy(), np.asarray(screen.cells.X)
    fitted = fit(values[:60, :21], genes[:60], screen.drugs.iloc[:21])
    assert len(fitted.members) == 2
    new = read_molecules(screen.drugs.iloc[21:])
    features = fitted.standardize([genes])
    known = np.r_[np.arange(60), np.full(20, -1)]
    found = fitted.predict(features, known, new)
    truth = screen.truth.to_numpy()[:, 21:]
    r = [np.corrcoef(found.mean[:60, j], truth[:60, j])[0, 1] for j in range(3)]
    assert np.mean(r) > 0.6
    assert not np.allclose(found.mean, found.naive)
    assert (found.std[60:].mean(0) > found.std[:60].mean(0)).all()
    # Of known lines, the spread is that of held-out drugs, which has their errors already.
    expected = fitted.drug_spread(fitted.drug_distance(new))[:, 0]
    np.testing.assert_allclose(found.std[:60], np.broadcast_to(expected, (60, 3)))


def test_drugs_of_training_are_recognized_by_molecule(screen, fitted_response):
    core = fitted_response.fitted_.core
    features = core.standardize([np.asarray(screen.cells.X)[60:]])
    new = np.full(40, -1)
    name = core.molecules.names[4]
    alias = read_molecules({"alias": screen.drugs[name], "new": "CCCC(=O)OC"})
    found = core.predict(features, new, alias)
    same = core.predict(features, new, core.molecules)
    np.testing.assert_array_equal(found.mean[:, 0], same.mean[:, 4])
    np.testing.assert_array_equal(found.std[:, 0], same.std[:, 4])
    assert core.drug_distance(alias)[0] == 0
    assert core.drug_distance(alias)[1] > 0
