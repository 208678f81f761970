"""``tl.integration_report``: scib-metrics of embeddings and of other methods."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mudata import MuData

from scmomer._compat import keep_obs
from scmomer._constants import INTEGRATION_BATCH, INTEGRATION_BIO, INTEGRATION_SCORES
from scmomer.datasets import synthetic
from scmomer.tl import _integration_methods, _integration_report, integration_report

pytest.importorskip("scib_metrics")
KEYS = {"batch_key": "batch", "labels_key": "cell_type"}


@pytest.fixture(scope="module")
def cells() -> MuData:
    """Cells with a perfect embedding, and one that depends only on the batch."""
    mdata = synthetic(300, 60, 100, n_types=3, batch_effect=0.8)
    rng = np.random.default_rng(0)
    for key, column in (("X_types", "cell_type"), ("X_batches", "batch")):
        codes = mdata.obs[column].cat.codes.to_numpy()
        z = np.eye(3)[codes] * 5 + rng.normal(size=(300, 3))
        mdata.obsm[key] = z.astype(np.float32)
    return mdata


@pytest.fixture(scope="module")
def reported(cells) -> tuple[MuData, pd.DataFrame]:
    data = cells.copy()
    return data, integration_report(data, **KEYS, use_rep=["X_types", "X_batches"], methods=())


@pytest.fixture
def scored(monkeypatch) -> dict[str, np.ndarray]:
    """The scored embeddings, without running scib-metrics, which takes seconds for each."""
    seen: dict[str, np.ndarray] = {}

    def scores(embeddings, obs, kbet, n_jobs):
        seen.update(embeddings)
        index = pd.Index(list(embeddings), name="embedding")
        return pd.DataFrame(dict.fromkeys(INTEGRATION_SCORES, 0.5), index=index)

    monkeypatch.setattr(_integration_report, "_scores", scores)
    return seen


def test_rows_are_embeddings_and_columns_scores(reported):
    data, table = reported
    assert list(table.index) == ["X_types", "X_batches"] and table.index.name == "embedding"
    metrics = [
        *INTEGRATION_BIO.values(),
        *(name for name in INTEGRATION_BATCH.values() if name != "kbet"),
    ]
    assert list(table.columns) == [*metrics, *INTEGRATION_SCORES]
    assert (table.dtypes == np.float64).all()
    assert table.drop(columns="kmeans_ari").stack().between(0, 1).all()


def test_means_are_those_of_the_groups(reported):
    _, table = reported
    bio = table[[*INTEGRATION_BIO.values()]].mean(axis=1)
    batch = table[["bras", "ilisi", "graph_connectivity"]].mean(axis=1)
    np.testing.assert_allclose(table["bio_conservation"], bio)
    np.testing.assert_allclose(table["batch_correction"], batch)
    np.testing.assert_allclose(table["total"], 0.6 * bio + 0.4 * batch)


def test_scores_distinguish_types_and_batches(reported):
    _, table = reported
    types, batches = table.loc["X_types"], table.loc["X_batches"]
    assert types["kmeans_ari"] > 0.9 and types["ilisi"] > 0.8
    assert batches["kmeans_ari"] < 0.1 and batches["ilisi"] < 0.2
    assert types["total"] > batches["total"] + 0.3


def test_scores_are_those_of_metrics(reported):
    from scmomer import metrics

    data, table = reported
    obs = (data.obs[name].astype(str) for name in ("batch", "cell_type"))
    known = metrics.integration(data.obsm["X_types"], *obs)
    for name in ("ilisi", "clisi", "bras", "silhouette_label", "graph_connectivity"):
        assert table.loc["X_types", name] == pytest.approx(known[name], abs=1e-5), name


def test_the_report_is_kept_and_survives_a_file(reported, tmp_path):
    import anndata
    import mudata

    data, table = reported
    entry = data.uns["scmomer"]["integration_report"]
    assert entry["params"]["use_rep"] == ["X_types", "X_batches"]
    pd.testing.assert_frame_equal(entry["table"], table)
    data.write(tmp_path / "cells.h5mu")
    with keep_obs():
        read = mudata.read_h5mu(tmp_path / "cells.h5mu")
    adata = data["rna"].copy()
    adata.uns["scmomer"] = data.uns["scmomer"]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    for back in (read, anndata.read_h5ad(tmp_path / "cells.h5ad")):
        found = back.uns["scmomer"]["integration_report"]["table"]
        pd.testing.assert_frame_equal(found, table)


def test_methods_read_the_counts_of_any_container(cells, scored):
    table = integration_report(cells.copy(), **KEYS, use_rep="X_types")
    assert list(table.index) == list(scored) == ["X_types", "PCA"]
    expected = scored["PCA"].copy()
    assert expected.shape == (300, 50)
    adata = cells["rna"].copy()
    adata.layers["counts"], adata.X = adata.X.toarray(), adata.X * 0.5
    adata.uns["scmomer"] = {"embed": {"model_id": "x"}}
    integration_report(adata, **KEYS, use_rep=(), layer="counts")
    np.testing.assert_allclose(scored["PCA"], expected, atol=1e-3)
    assert set(adata.uns["scmomer"]) == {"embed", "integration_report"} and not adata.obsm


def test_variable_genes_are_chosen_and_few_cells_are_enough(monkeypatch, cells):
    monkeypatch.setattr(_integration_methods, "_N_TOP_GENES", 20)
    assert _integration_methods.principal_components(cells["rna"].X).shape == (300, 19)


@pytest.mark.parametrize("turned", [False, True])
def test_harmony_reads_components_and_batches(monkeypatch, cells, turned):
    seen = {}

    def run_harmony(x, obs, keys):
        seen.update(x=x, batch=obs[keys[0]])
        return SimpleNamespace(Z_corr=(x + 1).T if turned else x + 1)

    monkeypatch.setitem(sys.modules, "harmonypy", SimpleNamespace(run_harmony=run_harmony))
    monkeypatch.setattr(_integration_methods, "find_spec", lambda name: name)
    found = _integration_methods.make_embeddings(cells, ("harmony",), cells.obs["batch"])
    np.testing.assert_allclose(found["Harmony"], seen["x"] + 1, rtol=1e-5)
    assert (seen["batch"].to_numpy() == cells.obs["batch"].to_numpy()).all()


@pytest.mark.filterwarnings("ignore")
def test_scvi_trains_when_asked(cells, seed):
    before = cells["rna"].obs.columns.tolist(), set(cells["rna"].uns)
    with seed(0):
        found = _integration_methods.make_embeddings(
            cells, ("pca", "scvi"), cells.obs["batch"].astype(str), max_epochs=1
        )
    assert list(found) == ["PCA", "SCVI"] and found["SCVI"].shape == (300, 10)
    assert np.isfinite(found["SCVI"]).all()
    assert (cells["rna"].obs.columns.tolist(), set(cells["rna"].uns)) == before


def test_missing_packages_are_named(cells, monkeypatch):
    monkeypatch.setattr(_integration_methods, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="harmonypy.* not installed.*pip install harmonypy"):
        integration_report(cells, **KEYS, use_rep="X_types", methods=["harmony"])
    monkeypatch.setitem(sys.modules, "scib_metrics", None)
    with pytest.raises(ImportError, match=r"^scib-metrics is not .*'scmomer\[integration\]'"):
        integration_report(cells, **KEYS, use_rep="X_types")


def test_bad_input_is_refused(cells, refuses):
    data = cells.copy()
    for key in KEYS:
        with refuses(KeyError, "'nope'", key):
            integration_report(data, **{**KEYS, key: "nope"})
    with refuses(KeyError, "'X_scmomer'", "X_types", "scmomer.tl.embed"):
        integration_report(data, **KEYS)
    with refuses(ValueError, "methods among", "['bbknn']"):
        integration_report(data, **KEYS, use_rep="X_types", methods=["bbknn"])
    with refuses(ValueError, "no embedding to score"):
        integration_report(data, **KEYS, use_rep=(), methods=())
    data.obs["one"] = "one"
    with refuses(ValueError, "`batch`", "at least two values", "found 1"):
        integration_report(data, batch_key="one", labels_key="cell_type", use_rep="X_types")
    with refuses(ValueError, "`labels`", "at least two values", "found 1"):
        integration_report(data, batch_key="batch", labels_key="one", use_rep="X_types")
    with refuses(ValueError, "more than 90 cells", "found 60"):
        integration_report(data[:60].copy(), **KEYS, use_rep="X_types")
    with refuses(ValueError, "found peaks", "methods=()"):
        peaks = data["atac"].copy()
        peaks.obsm["X_types"] = data.obsm["X_types"]
        integration_report(peaks, **KEYS, use_rep="X_types")
    with refuses(KeyError, "'rna'", "['atac']"):
        integration_report(MuData({"atac": data["atac"]}), **KEYS, use_rep=())
    data.obs["cell_type"] = data.obs["cell_type"].where(np.arange(300) > 1)
    with refuses(ValueError, "'cell_type'", "2 of 300 missing", "Drop"):
        integration_report(data, **KEYS, use_rep="X_types")
    assert "scmomer" not in data.uns


def test_mosaics_need_rna_of_all_cells(refuses):
    mdata = synthetic(200, 40, 60, missing={"rna": 0.2})
    with refuses(ValueError, "RNA of all 200 cells", "160"):
        integration_report(mdata, **KEYS, use_rep=())
