from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from scmomer.metrics import interval_coverage
from scmomer.tasks.drugs import DrugResponseModel, read_response

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")

pytestmark = pytest.mark.filterwarnings("ignore:.*resemble no training drug")


def per_drug(predicted: AnnData, truth: pd.DataFrame) -> float:
    """Mean correlation of each drug over lines."""
    truth = truth.loc[predicted.obs_names, predicted.var_names].to_numpy()
    return float(
        np.mean([np.corrcoef(predicted.X[:, j], truth[:, j])[0, 1] for j in range(truth.shape[1])])
    )


def as_counts(cells: AnnData, depth: float = 300.0) -> AnnData:
    """Counts with these z-scores; genes of different levels."""
    rng = np.random.default_rng(0)
    rate = np.exp(0.7 * np.asarray(cells.X) + rng.normal(size=cells.n_vars))
    counts = rng.poisson(rate / rate.sum(1, keepdims=True) * depth * cells.n_vars)
    return AnnData(sp.csr_matrix(counts.astype(np.float32)), obs=cells.obs.copy(), var=cells.var)


def test_result(screen, fitted_response, tmp_path, unchanged):
    with unchanged(screen.cells):
        found = fitted_response.predict(screen.cells)
    assert found.shape == (100, 12)
    assert found.obs_names.equals(screen.cells.obs_names)
    assert found.var_names.equals(fitted_response.drugs_)
    assert set(found.layers) - {None} == {"std", "naive"}  # None is X in anndata 0.13
    assert (found.layers["std"] > 0).all()
    assert found.obs["is_training_line"].tolist() == [True] * 60 + [False] * 40
    assert found.var["is_training_drug"].all()
    assert (found.var["distance"] == 0).all()
    assert found.uns["scmomer_drug_response"] == {
        "units": "ln_um",
        "n_training_lines": 60,
        "n_training_drugs": 12,
        "profile": "zscore",
        "standardize": "training",
    }
    found.write_h5ad(tmp_path / "found.h5ad")
    np.testing.assert_array_equal(anndata.read_h5ad(tmp_path / "found.h5ad").X, found.X)


def test_known_lines_are_completed(screen, fitted_response):
    found = fitted_response.predict(screen.cells[:60])
    names = found.var_names
    values, truth = screen.values[names].to_numpy()[:60], screen.truth[names].to_numpy()[:60]
    gap = np.isnan(values)
    # Better than what profiles say of a new line, and gaps are filled.
    renamed = screen.cells[:60].copy()
    renamed.obs_names = [f"new {i}" for i in range(60)]
    as_new = fitted_response.predict(renamed)
    assert not as_new.obs["is_training_line"].any()
    for part in (gap, ~gap):
        error, naive = (np.abs(p.X - truth)[part].mean() for p in (found, as_new))
        assert error < naive
    new = fitted_response.predict(screen.cells[60:])
    assert found.layers["std"].mean() < new.layers["std"].mean()


def test_new_lines_are_predicted(screen, fitted_response):
    found = fitted_response.predict(screen.cells[60:])
    truth = screen.truth.loc[found.obs_names, found.var_names]
    assert per_drug(found, screen.truth) > 0.75
    rng = np.random.default_rng(1)
    observed = truth + 0.4 * rng.normal(size=truth.shape)
    assert 0.85 < interval_coverage(observed, found.X, found.layers["std"]) < 0.97
    # In the units of the response, drug by drug.
    np.testing.assert_allclose(found.X.mean(0), truth.mean(0), atol=0.8)


def test_drugs_by_name_and_by_smiles(screen, fitted_response):
    cells = screen.cells[50:]
    every = fitted_response.predict(cells)
    names = every.var_names[[7, 2]]
    some = fitted_response.predict(cells, names)
    assert some.var_names.equals(names)
    np.testing.assert_array_equal(some.X, every[:, names].X)
    alias = fitted_response.predict(cells, {"alias": screen.drugs[names[0]]})
    np.testing.assert_array_equal(alias.X[:, 0], every[:, names[0]].X[:, 0])
    assert alias.var["is_training_drug"].tolist() == [True]


def test_thresholds(screen, fitted_response, refuses):
    cells = screen.cells[60:]
    low, high = (
        fitted_response.predict(cells, thresholds={fitted_response.drugs_[0]: limit, "other": 1.0})
        for limit in (-4.0, -3.0)
    )
    sensitive = low.layers["sensitive"]
    assert np.isnan(sensitive[:, 1:]).all()
    assert ((sensitive[:, 0] >= 0) & (sensitive[:, 0] <= 1)).all()
    assert (high.layers["sensitive"][:, 0] >= sensitive[:, 0]).all()
    assert high.layers["sensitive"][:, 0].mean() > sensitive[:, 0].mean()
    # At the same standard deviation, a lower response is a higher probability.
    z = (-4.0 - low.X[:, 0]) / low.layers["std"][:, 0]
    assert (np.diff(sensitive[np.argsort(z), 0]) >= 0).all()
    assert "sensitive" not in fitted_response.predict(cells).layers
    with refuses(ValueError, "thresholds for some of the drugs", "'other'"):
        fitted_response.predict(cells, thresholds={"other": 1.0})


def test_thresholds_in_other_units(screen, fitted_response, recwarn):
    drug = fitted_response.drugs_[0]
    usual = fitted_response.fitted_.core.units.mean[0]
    recwarn.clear()
    fitted_response.predict(screen.cells[60:], thresholds={drug: usual - 2})
    assert not [w for w in recwarn if "thresholds" in str(w.message)]
    with pytest.warns(UserWarning, match=f"1 of 2 thresholds lie outside.* 100 for '{drug}'"):
        fitted_response.predict(
            screen.cells[60:], thresholds={drug: 100.0, fitted_response.drugs_[1]: 0.0}
        )


def test_unknown_options_of_fit(screen, refuses):
    with refuses(TypeError, "documentation of fit()", "units=", "value_key=", "found unit="):
        DrugResponseModel().fit(
            screen.response, screen.cells, screen.drugs, profile="zscore", unit="um"
        )


def test_it_repeats_with_the_seed_of_scvi(make_screen, seed, few_epochs):
    screen = make_screen(n_lines=30)

    def predict(value: int) -> np.ndarray:
        with seed(value):
            model = DrugResponseModel(n_members=2)
            model.fit(screen.of(slice(20)), screen.cells, screen.drugs, profile="zscore")
        return model.predict(screen.cells).X

    one = predict(1)
    np.testing.assert_array_equal(predict(1), one)
    assert not np.array_equal(predict(2), one)


def test_networks_that_are_no_better_are_not_used(make_screen, caplog):
    screen = make_screen(n_lines=30)
    noise = screen.response.assign(
        ln_ic50=np.random.default_rng(0).normal(size=len(screen.response))
    )
    with caplog.at_level("INFO", logger="scmomer"):
        model = DrugResponseModel(n_members=3)
        model.fit(noise, screen.cells, screen.drugs, profile="zscore")
    assert "New lines: the naive prediction is used" in caplog.text
    renamed = screen.cells.copy()
    renamed.obs_names = [f"new {i}" for i in range(30)]
    found = model.predict(renamed)
    np.testing.assert_array_equal(found.X, found.layers["naive"])


@pytest.mark.parametrize("profile", ["counts", "normalized"])
def test_profiles_of_rna(screen, profile, few_epochs):
    cells = as_counts(screen.cells)
    if profile == "normalized":
        cells.X = cells.X.astype(np.float64)
        cells.X = sp.csr_matrix(1e6 * cells.X.toarray() / cells.X.sum(1))
    model = DrugResponseModel(n_members=2)
    model.fit(screen.of(slice(60)), cells, screen.drugs, profile=profile)
    found = model.predict(cells[60:])
    assert found.uns["scmomer_drug_response"]["profile"] == profile
    assert per_drug(found, screen.truth) > 0.6


def test_a_small_screen_in_auc(make_screen):
    """Twenty lines more than are needed, TPM, AUC: better than the effect of the line alone."""
    screen = make_screen(n_lines=80, n_drugs=9, auc=True)
    model = DrugResponseModel(n_members=3)
    model.fit(screen.of(slice(40)), screen.cells, screen.drugs, profile="zscore")
    found = model.predict(screen.cells[40:])
    assert found.uns["scmomer_drug_response"]["units"] == "auc"
    assert per_drug(found, screen.truth) > 0.7
    truth = screen.truth.loc[found.obs_names, found.var_names]
    assert 0.8 < interval_coverage(truth, found.X, found.layers["std"]) < 0.99
    # What is left of the mean effects is seen too, though it is small in these units.
    effects = truth.sub(truth.mean(1), axis=0)
    predicted = found.to_df().sub(found.X.mean(1), axis=0)
    assert predicted.corrwith(effects).mean() > 0.6


def test_z_scored_lines_and_counts_of_cells(screen, fitted_response):
    cells = as_counts(screen.cells)[60:].copy()
    with pytest.warns(UserWarning, match="standardized within these cells"):
        found = fitted_response.predict(cells, profile="counts")
    assert found.uns["scmomer_drug_response"]["standardize"] == "query"
    assert per_drug(found, screen.truth) > 0.6
    scaled = cells.copy()
    scaled.X = cells.X * 3  # deeper cells
    with pytest.warns(UserWarning, match="standardized within these cells"):
        other = fitted_response.predict(scaled, profile="counts")
    np.testing.assert_allclose(other.X, found.X, atol=1e-3)


def test_lines_of_counts_and_z_scores_of_cells(screen, few_epochs):
    model = DrugResponseModel(n_members=2)
    model.fit(screen.of(slice(60)), as_counts(screen.cells), screen.drugs)
    with pytest.warns(UserWarning, match="standardized within these cells"):
        found = model.predict(screen.cells[60:], profile="zscore")
    assert per_drug(found, screen.truth) > 0.6


def test_lines_named_otherwise_in_the_response(screen, few_epochs):
    """A line is known by its name in the profiles, whatever the response calls it."""
    response = screen.response.assign(
        cell_line=screen.response["cell_line"].str.upper().str.replace(" ", "-")
    )
    model = DrugResponseModel(n_members=2)
    model.fit(response, screen.cells, screen.drugs, profile="zscore")
    assert model.lines_.equals(screen.cells.obs_names)
    assert model.predict(screen.cells).obs["is_training_line"].all()


def test_containers(screen, few_epochs, as_container):
    cells = as_container(AnnData(sp.csr_matrix(screen.cells.X), screen.cells.obs, screen.cells.var))
    names = dict(zip(screen.cells.obs_names, cells.obs_names, strict=True))
    response = screen.response.assign(cell_line=screen.response["cell_line"].map(names))
    rows = response.iloc[::-1]  # lines in another order than the profiles
    model = DrugResponseModel(n_members=2).fit(rows, cells, screen.drugs, profile="zscore")
    wanted = DrugResponseModel(n_members=2).fit(
        screen.response.iloc[::-1], screen.cells, screen.drugs, profile="zscore"
    )
    found = model.predict(cells)
    assert found.obs["is_training_line"].all()
    np.testing.assert_allclose(found.X, wanted.predict(screen.cells).X, rtol=1e-4, atol=1e-4)


def test_a_table_and_its_columns(screen, few_epochs):
    renamed = screen.response.rename(columns={"cell_line": "cl", "drug": "d", "ln_ic50": "y"})
    options = {"profile": "zscore", "units": "ln_um"}
    one = DrugResponseModel(n_members=2).fit(
        renamed, screen.cells, screen.drugs, line_key="cl", drug_key="d", value_key="y", **options
    )
    two = DrugResponseModel(n_members=2).fit(
        read_response(screen.response), screen.cells, screen.drugs, profile="zscore"
    )
    np.testing.assert_array_equal(one.predict(screen.cells).X, two.predict(screen.cells).X)


def test_the_published_network(screen, few_epochs):
    model = DrugResponseModel(architecture="published")
    model.fit(screen.of(slice(60)), screen.cells, screen.drugs, profile="zscore")
    found = model.predict(screen.cells, {"ester": "CCCC(=O)OC", "acid": "CCCCC(=O)O"})
    assert np.isfinite(found.X).all()
    assert (found.layers["std"] > 0).all()
    assert found.var["is_training_drug"].tolist() == [False, True]
    assert found.obs["is_training_line"].sum() == 60


# -- embeddings


@pytest.fixture(scope="module")
def lines(screen, trained) -> AnnData:
    """Counts of genes of the embedding model, so that there is something to embed."""
    cells = as_counts(screen.cells, depth=20.0)
    cells.var_names = trained.adata["rna"].var_names
    return cells


@pytest.mark.parametrize("inputs", ["both", "embedding"])
def test_embeddings(screen, lines, trained, few_epochs, inputs, tmp_path, refuses):
    model = DrugResponseModel(trained, cell_inputs=inputs, n_members=2)
    model.fit(screen.of(slice(60)), lines, screen.drugs)
    found = model.predict(lines)
    assert np.isfinite(found.X).all()
    shapes = [x.shape for x in model.fitted_.profiles]
    assert shapes == ([(60, 60)] if inputs == "both" else []) + [(60, 8)]
    model.save(tmp_path / "model")
    trained.save(tmp_path / "embedding")
    loaded = DrugResponseModel.load(tmp_path / "model", tmp_path / "embedding")
    np.testing.assert_array_equal(loaded.predict(lines).X, found.X)
    with refuses(ValueError, "the embedding model", trained.id, "embedding_model="):
        DrugResponseModel.load(tmp_path / "model")


def test_another_embedding_model_is_refused(
    screen, lines, trained, trained_rna, few_epochs, tmp_path, refuses
):
    model = DrugResponseModel(trained, n_members=2).fit(screen.of(slice(60)), lines, screen.drugs)
    model.save(tmp_path / "model")
    with refuses(ValueError, trained.id, trained_rna.id, "Load that one, or fit again"):
        DrugResponseModel.load(tmp_path / "model", trained_rna)
