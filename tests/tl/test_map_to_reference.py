"""``tl.map_to_reference``: neighbors, labels and coordinates of query cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from mudata import MuData

from scmomer import tl
from scmomer._compat import keep_obs
from scmomer.tl import map_to_reference
from scmomer.tl._map_to_reference import Neighbors, label_probabilities, typical_distance

WRITTEN = {"reference_distance", "reference_label", "reference_confidence"}


def probabilities(data) -> pd.DataFrame:
    """Cells x labels, with the recorded names."""
    names = data.uns["scmomer"]["map_to_reference"]["params"]["classes"]
    return pd.DataFrame(
        data.obsm["reference_probabilities"], index=data.obs_names, columns=[*map(str, names)]
    )


def test_results_are_written(trained, data, mdata, unchanged):
    before = list(data.obs.columns), set(data.obsm), set(data.uns)
    with unchanged(mdata):
        assert map_to_reference(data, mdata, trained, labels_key="cell_type") is None
    assert set(data.obs.columns) - set(before[0]) == WRITTEN
    assert set(data.uns) - before[2] == {"scmomer"}
    assert "X_scmomer" in data.obsm and "X_scmomer" not in mdata.obsm
    table = probabilities(data)
    assert data.obsm["reference_probabilities"].dtype == np.float32
    assert list(table.columns) == list(mdata.obs["cell_type"].cat.categories)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-6)
    label, confidence = data.obs["reference_label"], data.obs["reference_confidence"]
    assert list(label.cat.categories) == list(table.columns)
    assert (label.astype(str) == table.idxmax(axis=1)).all()
    np.testing.assert_allclose(confidence, table.max(axis=1))
    assert confidence.between(0, 1).all() and (data.obs["reference_distance"] > 0).all()
    entry = data.uns["scmomer"]["map_to_reference"]
    assert entry["model_id"] == trained.id and entry["params"]["n_neighbors"] == 15


@pytest.mark.parametrize("kind", ["MuData", "rna", "atac"])
def test_any_reference_will_do(trained, make_unseen, mdata, kind):
    query = make_unseen()["rna"].copy()
    reference = mdata if kind == "MuData" else mdata[kind].copy()
    map_to_reference(query, reference, trained, labels_key="cell_type")
    z = trained.get_latent_representation(reference)
    apart = np.linalg.norm(query.obsm["X_scmomer"][:, None] - z, axis=2)  # (n_query, n_reference)
    squares = np.sort(apart, axis=1)[:, :15] ** 2
    order = np.argsort(apart, axis=1)[:, :15]
    weights = np.exp(-squares / (2 * squares.mean(1, keepdims=True)))
    same = mdata.obs["cell_type"].to_numpy().astype(str)[order]
    for name, found in probabilities(query).items():
        expected = (weights * (same == name)).sum(1) / weights.sum(1)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_cell_of_the_reference_finds_itself(trained, mdata):
    query = mdata[:30].copy()
    map_to_reference(query, mdata, trained, labels_key="cell_type", n_neighbors=1)
    assert (query.obs["reference_label"].astype(str) == mdata.obs["cell_type"][:30]).all()
    assert (query.obs["reference_confidence"] == 1).all()
    np.testing.assert_allclose(query.obs["reference_distance"], 0, atol=1e-4)


def test_distance_is_in_units_of_the_reference(trained, mdata):
    map_to_reference(mdata, mdata, trained, n_neighbors=5)  # each cell finds itself first
    z = trained.get_latent_representation(mdata)
    apart = np.sort(np.linalg.norm(z[:, None] - z, axis=2), axis=1)
    expected = apart[:, :5].mean(1) / np.median(apart[:, 1:6].mean(1))
    np.testing.assert_allclose(mdata.obs["reference_distance"], expected, rtol=1e-3, atol=1e-4)
    assert not {"reference_label", "reference_probabilities"} & {*mdata.obs, *mdata.obsm}


def test_a_reference_of_copies_has_the_unit_of_the_embedding():
    assert typical_distance(np.ones((30, 4)), 5, 0) == 1
    index = np.random.default_rng(0).normal(size=(30, 4))
    assert typical_distance(1000 * index, 5, 0) == pytest.approx(
        1000 * typical_distance(index, 5, 0)
    )


def test_weights_do_not_depend_on_the_unit():
    distances = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
    found = Neighbors(np.array([[0, 1, 2]] * 3), distances)
    assert np.allclose(found._replace(distances=distances * 1000).weights, found.weights)
    assert (np.diff(found.weights[0]) < 0).all()
    np.testing.assert_allclose(found.weights[1], 1 / 3)  # all at distance 0
    np.testing.assert_allclose(found.weights.sum(1), 1)
    shares = label_probabilities(found, pd.Categorical(["a", "b", "a"], categories=["b", "a"]))
    np.testing.assert_allclose(shares["b"], found.weights[:, 1], rtol=1e-6)


def test_query_cells_are_placed_in_the_reference_picture(trained, make_unseen, mdata):
    mdata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(mdata.n_obs, 2))
    query = make_unseen()["rna"].copy()
    map_to_reference(query, mdata, trained, basis="X_umap", n_neighbors=1)
    placed = query.obsm["X_umap"]
    assert placed.shape == (query.n_obs, 2) and placed.dtype == np.float32
    apart = np.abs(placed[:, None] - mdata.obsm["X_umap"]).max(2).min(1)
    np.testing.assert_allclose(apart, 0, atol=1e-6)  # each at its neighbor
    map_to_reference(query, mdata, trained, basis="X_umap")
    low, high = mdata.obsm["X_umap"].min(0), mdata.obsm["X_umap"].max(0)
    assert ((query.obsm["X_umap"] >= low) & (query.obsm["X_umap"] <= high)).all()


def test_an_embedded_reference_is_not_embedded_again(trained, make_unseen, mdata, monkeypatch):
    query = make_unseen()["rna"].copy()
    fresh = map_to_reference(query, mdata, trained, labels_key="cell_type", copy=True)
    tl.embed(mdata, trained)
    asked = []
    plain = type(trained).get_latent_representation
    monkeypatch.setattr(
        type(trained),
        "get_latent_representation",
        lambda self, data, **kw: asked.append(kw.get("indices")) or plain(self, data, **kw),
    )
    kept = map_to_reference(query, mdata, trained, labels_key="cell_type", copy=True)
    assert kept.obs.equals(fresh.obs) and len(asked) == 1 and len(asked[0]) == 64
    mdata.obsm["X_scmomer"] = mdata.obsm["X_scmomer"] + 1  # of another training
    again = map_to_reference(query, mdata, trained, labels_key="cell_type", copy=True)
    assert again.obs.equals(fresh.obs) and asked[-1] is None


def test_keys_copies_and_the_current_model(trained, saved, make_unseen, mdata):
    query = make_unseen()
    out = map_to_reference(
        query, mdata, saved, labels_key="cell_type", key_added="atlas", copy=True
    )
    assert "atlas_label" in out.obs and "atlas_probabilities" in out.obsm
    assert not {*query.obsm, *query.uns} & {"X_scmomer", "scmomer"}
    last = map_to_reference(query, mdata, labels_key="cell_type", key_added="atlas", copy=True)
    assert last.obs["atlas_label"].equals(out.obs["atlas_label"])


def test_labels_may_be_anything(trained, make_unseen, mdata):
    query = make_unseen()["rna"].copy()
    mdata.obs["cluster"] = np.arange(mdata.n_obs) % 3  # numbers
    mdata["rna"].obs["of rna"] = ["one"] * mdata["rna"].n_obs  # one label, in a modality
    for key, names in (("cluster", ["0", "1", "2"]), ("of rna", ["one"])):
        map_to_reference(query, mdata, trained, labels_key=key)
        assert list(query.obs["reference_label"].cat.categories) == names
    assert (query.obs["reference_confidence"] == 1).all()


def test_models_of_one_modality_map_that_one(trained_rna, trained_atac, make_unseen, mdata):
    for name, model in (("rna", trained_rna), ("atac", trained_atac)):
        query = make_unseen()[name].copy()
        map_to_reference(query, mdata[name], model, labels_key="cell_type")
        assert WRITTEN <= set(query.obs)


@pytest.mark.parametrize("kind", [MuData, "AnnData"])
def test_results_survive_a_file(trained, make_unseen, mdata, tmp_path, kind):
    import anndata
    import mudata

    query = make_unseen() if kind is MuData else make_unseen()["rna"].copy()
    map_to_reference(query, mdata, trained, labels_key="cell_type")
    if kind is MuData:
        query.write(tmp_path / "query.h5mu")
        with keep_obs():
            read = mudata.read_h5mu(tmp_path / "query.h5mu")
    else:
        query.write_h5ad(tmp_path / "query.h5ad")
        read = anndata.read_h5ad(tmp_path / "query.h5ad")
    pd.testing.assert_frame_equal(probabilities(read), probabilities(query), check_names=False)
    assert (read.obs["reference_label"] == query.obs["reference_label"]).all()


def test_bad_input_is_refused_and_changes_nothing(trained, make_unseen, mdata, refuses):
    query = make_unseen()["rna"].copy()
    before = list(query.obs.columns)
    gaps = mdata.copy()
    gaps.obs["cell_type"] = gaps.obs["cell_type"].where(np.arange(gaps.n_obs) > 4)
    with refuses(ValueError, "'cell_type'", "5 of 120 missing", "Drop"):
        map_to_reference(query, gaps, trained, labels_key="cell_type")
    with refuses(KeyError, "'type'", "labels_key="):
        map_to_reference(query, mdata, trained, labels_key="type")
    with refuses(KeyError, "'X_umap'", "scanpy.tl.umap"):
        map_to_reference(query, mdata, trained, basis="X_umap")
    for n in (0, 120):
        with refuses(ValueError, "n_neighbors", "120 cells", f"found {n}"):
            map_to_reference(query, mdata, trained, n_neighbors=n)
    foreign = query.copy()
    foreign.var_names = [f"other{i}" for i in range(foreign.n_vars)]
    for pair in ((foreign, mdata), (query, foreign)):
        with refuses(ValueError, "genes of the model", "none of its 60"):
            map_to_reference(*pair, trained)
    with refuses(TypeError, "AnnData or a MuData"):
        map_to_reference(query, [1], trained)
    assert list(query.obs.columns) == before and not query.obsm and "scmomer" not in query.uns
