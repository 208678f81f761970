"""Responses to drugs written to a container."""

from __future__ import annotations

import logging

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

import scmomer

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")

KEY = "scmomer_drug_response"
SMILES = pd.Series(
    {"aspirin": "CC(=O)Oc1ccccc1C(=O)O", "ethanol": "CCO", "a/b": "c1ccncc1CCN", "D": "Clc1ccccc1N"}
)
GENES = [f"gene {i}" for i in range(12)]


def draw(n: int, prefix: str, seed: int) -> AnnData:
    """Counts of 12 genes; library sizes differ tenfold."""
    rng = np.random.default_rng(seed)
    mean = rng.gamma(2.0, 2.0, (n, 12)) * rng.lognormal(0, 0.6, (n, 1))
    names = pd.DataFrame(index=[f"{prefix} {i}" for i in range(n)])
    counts = rng.poisson(mean * 5).astype(np.float32)
    return AnnData(counts, obs=names, var=pd.DataFrame(index=GENES))


@pytest.fixture(scope="module")
def lines() -> AnnData:
    return draw(24, "line", 0)


def screen(lines: AnnData) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(lines.n_obs, 4)) + [0, 2, -2, 1]
    wide = pd.DataFrame(values, index=lines.obs_names, columns=SMILES.index)
    return wide.rename_axis("cell_line").reset_index().melt("cell_line", var_name="drug")


@pytest.fixture(scope="module")
def model(lines) -> scmomer.DrugResponseModel:
    return scmomer.DrugResponseModel(n_members=2).fit(screen(lines), lines, SMILES, units="ln_um")


@pytest.fixture
def cells() -> AnnData:
    found = draw(40, "cell", 2)
    found.obs["kind"] = pd.Categorical(np.array(["T cell", "B cell"])[np.arange(40) % 2])
    return found


def test_every_cell_is_predicted_as_the_model_does(cells, model):
    before = cells.copy()
    assert scmomer.tl.drug_response(cells, model) is None
    assert np.array_equal(cells.X, before.X) and cells.obs["kind"].equals(before.obs["kind"])
    expected = model.predict(cells)
    found = cells.obsm[KEY]
    assert found.columns.tolist() == ["aspirin", "ethanol", "a_b", "D"]
    assert found.index.equals(cells.obs_names) and (found.dtypes == np.float32).all()
    assert np.array_equal(found, expected.X)
    assert np.array_equal(cells.obsm[f"{KEY}_std"], expected.layers["std"])
    assert cells.obs[f"{KEY}_distance"].to_numpy() == pytest.approx(expected.obs["distance"])
    assert f"{KEY}_sensitive" not in cells.obsm and f"{KEY}_groups" not in cells.uns


def test_what_is_said_of_it(cells, model, lines):
    scmomer.tl.drug_response(cells, model, {"aspirin": SMILES["aspirin"], "new": "CCCCO"})
    note = cells.uns[KEY]
    means = screen(lines).groupby("drug")["value"].mean()
    assert note["units"] == "ln_um" and note["profile"] == "counts"
    assert note["drugs"].tolist() == ["aspirin", "new"]
    assert note["is_training_drug"].tolist() == [True, False]
    assert note["naive_mean"][0] == pytest.approx(means["aspirin"])
    assert np.isnan(note["naive_mean"][1])
    assert note["training_drugs"].tolist() == SMILES.index.tolist()
    assert note["n_training_lines"] == 24 and note["standardize"] == "training"
    assert (note["n_genes"], note["n_genes_matched"]) == (12, 12)
    assert note["usual_distance"] > 0 and "not on single cells" in note["calibration"]
    log = cells.uns["scmomer"]["drug_response"]
    assert log["params"]["key_added"] == KEY and "model_id" not in log


def test_groups_are_predicted_from_their_mean_profile(cells, model):
    scmomer.tl.drug_response(cells, model, groupby="kind", key_added="mine")
    expected = model.predict(cells, groupby="kind")
    groups = cells.uns["mine_groups"]
    assert groups.index.tolist() == ["B cell", "T cell"]
    assert np.array_equal(groups, expected.X)
    assert np.array_equal(cells.uns["mine_groups_std"], expected.layers["std"])
    assert cells.obsm["mine"].shape == (40, 4) and KEY not in cells.obsm


def test_probability_to_be_below_a_threshold(cells, model):
    scmomer.tl.drug_response(cells, model, thresholds={"aspirin": 100.0, "ethanol": -100.0})
    found = cells.obsm[f"{KEY}_sensitive"]
    assert (found["aspirin"] > 0.99).all() and (found["ethanol"] < 0.01).all()
    assert found[["a_b", "D"]].isna().all(axis=None)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_results_are_read_back_from_files(cells, model, tmp_path, kind, recwarn):
    scmomer.tl.drug_response(cells, model, groupby="kind", thresholds={"D": 0.0})
    recwarn.clear()
    getattr(cells, f"write_{kind}")(tmp_path / f"cells.{kind}")
    assert not [w for w in recwarn if "slash" in str(w.message).lower()]
    back = getattr(anndata, f"read_{kind}")(tmp_path / f"cells.{kind}")
    for key in (KEY, f"{KEY}_std", f"{KEY}_sensitive"):
        pd.testing.assert_frame_equal(back.obsm[key], cells.obsm[key])
    groups = back.uns[f"{KEY}_groups"]
    assert np.array_equal(groups, cells.uns[f"{KEY}_groups"])
    assert groups.columns.tolist() == cells.obsm[KEY].columns.tolist()
    assert back.uns[KEY]["drugs"].tolist() == SMILES.index.tolist()
    assert set(back.uns[KEY]) == set(cells.uns[KEY])


def test_a_copy_leaves_the_data_as_they_are(cells, model):
    found = scmomer.tl.drug_response(cells, model, copy=True)
    assert KEY in found.obsm and KEY not in cells.obsm and not cells.uns


def test_a_saved_model_predicts_the_same(cells, model, tmp_path):
    model.save(tmp_path / "tiny.drugs")
    scmomer.tl.drug_response(cells, tmp_path / "tiny.drugs")
    assert np.allclose(cells.obsm[KEY], model.predict(cells).X, atol=1e-5)


def test_layers_and_profiles(cells, model):
    moved = cells.copy()
    moved.layers["counts"] = moved.X.copy()
    moved.X = np.full_like(moved.X, np.nan)
    scmomer.tl.drug_response(moved, model, layer="counts")
    assert np.array_equal(moved.obsm[KEY], model.predict(cells).X)
    with pytest.warns(UserWarning, match="relative to the mean of these cells"):
        scmomer.tl.drug_response(cells, model, standardize="query")
    assert cells.uns[KEY]["standardize"] == "query"
    assert not np.allclose(cells.obsm[KEY], moved.obsm[KEY])


def test_predictions_that_follow_library_size(cells, model, monkeypatch, recwarn):
    depth = np.log(cells.X.sum(1))
    predict = type(model).predict

    def by_depth(self, adata, *args, **kwargs):
        found = predict(self, adata, *args, **kwargs)
        found.X = np.repeat(depth[: found.n_obs, None], found.n_vars, 1)
        return found

    monkeypatch.setattr(type(model), "predict", by_depth)
    with pytest.warns(UserWarning, match=r"follow library size.*1\.00"):
        scmomer.tl.drug_response(cells, model)
    assert cells.uns[KEY]["library_size_correlation"] == pytest.approx(1.0)
    few = cells[:10].copy()
    recwarn.clear()
    scmomer.tl.drug_response(few, model)
    assert np.isnan(few.uns[KEY]["library_size_correlation"])
    assert not [w for w in recwarn if "library size" in str(w.message)]


def test_library_size_without_counts_is_a_column_of_obs(cells, model):
    normalized = cells.copy()
    normalized.X = np.log1p(1e4 * cells.X / cells.X.sum(1, keepdims=True))
    scmomer.tl.drug_response(normalized, model, profile="normalized")
    assert np.isnan(normalized.uns[KEY]["library_size_correlation"])
    normalized.obs["total_counts"] = cells.X.sum(1)
    scmomer.tl.drug_response(normalized, model, profile="normalized")
    scmomer.tl.drug_response(cells, model)
    found, expected = (x.uns[KEY]["library_size_correlation"] for x in (normalized, cells))
    assert found == pytest.approx(expected, abs=0.02)


def test_the_log_counts_genes_and_drugs(cells, model, caplog):
    with caplog.at_level(logging.INFO):
        scmomer.tl.drug_response(cells[:, :9].copy(), model)
    assert "40 cells x 4 drugs (0 new ones), from 24 training lines; 9 of 12 genes" in caplog.text
    assert "1 names of drugs have / replaced by _" in caplog.text


def test_another_run_leaves_nothing_of_the_first(cells, model):
    scmomer.tl.drug_response(cells, model, groupby="kind", thresholds={"D": 0.0})
    scmomer.tl.drug_response(cells, model, groupby="kind", thresholds={"D": 0.0}, key_added="mine")
    scmomer.tl.drug_response(cells, model)
    assert set(cells.obsm) == {KEY, f"{KEY}_std", "mine", "mine_std", "mine_sensitive"}
    assert set(cells.uns) == {KEY, "scmomer", "mine", "mine_groups", "mine_groups_std"}


def test_what_is_refused(cells, model, refuses):
    with refuses(TypeError, "key_added as text", "3", KEY):
        scmomer.tl.drug_response(cells, model, key_added=3)
    with refuses(ValueError, "without '/'", "'a/b'", "'a_b'"):
        scmomer.tl.drug_response(cells, model, key_added="a/b")
    with refuses(TypeError, "DrugResponseModel", "dict"):
        scmomer.tl.drug_response(cells, {})
    with refuses(TypeError, "AnnData", "MuData", "mdata['rna']"):
        scmomer.tl.drug_response(MuData({"rna": cells}), model)
    with refuses(ValueError, "embedding_model=", "Leave it out"):
        scmomer.tl.drug_response(cells, model, embedding_model="x.scmomer")
    with refuses(ValueError, "'a_b'", "drugs="):
        scmomer.tl.drug_response(cells, model, {"a/b": SMILES["a/b"], "a_b": "CCCO"})
    with refuses(RuntimeError, "fit()"):
        scmomer.tl.drug_response(cells, scmomer.DrugResponseModel())
    with pytest.raises(KeyError, match="nothing"):
        scmomer.tl.drug_response(cells, model, groupby="nothing")
    assert KEY not in cells.obsm


def test_embeddings_need_their_model(trained_rna, make_mdata, tmp_path, refuses):
    lines = make_mdata()["rna"][:24].copy()
    fit = scmomer.DrugResponseModel(trained_rna, n_members=2)
    fit.fit(screen(lines), lines, SMILES, units="ln_um").save(tmp_path / "m.drugs")
    with refuses(ValueError, trained_rna.id, "embedding_model="):
        scmomer.tl.drug_response(lines, tmp_path / "m.drugs")
    scmomer.tl.drug_response(lines, tmp_path / "m.drugs", embedding_model=trained_rna)
    assert lines.uns["scmomer"]["drug_response"]["model_id"] == trained_rna.id
    assert lines.uns["scmomer"]["drug_response"]["params"]["cell_inputs"] == "both"
