"""``tl.embed``: results and where they are written."""

from __future__ import annotations

import numpy as np
import pytest

from scmomer._compat import keep_obs
from scmomer.tl import embed

SUFFIXES = {"": "joint", "_rna": "rna", "_atac": "atac"}


def test_embeddings_are_written(trained, data, unchanged):
    before = set(data.obsm), set(data.uns), list(data.obs.columns)
    with unchanged(data):
        assert embed(data, trained) is None
    assert set(data.obsm) - before[0] == {"X_scmomer", "X_scmomer_rna", "X_scmomer_atac"}
    assert set(data.uns) - before[1] == {"scmomer"} and list(data.obs.columns) == before[2]
    for suffix, modality in SUFFIXES.items():
        written = data.obsm[f"X_scmomer{suffix}"]
        assert written.dtype == np.float32 and written.shape == (120, 8)
        expected = trained.get_latent_representation(data, modality=modality)
        np.testing.assert_allclose(written, expected, rtol=0, atol=1e-6)


def test_a_copy_leaves_the_data_alone(trained, data, unchanged):
    before = set(data.obsm), set(data.uns)
    with unchanged(data):
        copied = embed(data, trained, copy=True)
    assert (set(data.obsm), set(data.uns)) == before
    assert type(copied) is type(data) and copied is not data
    assert copied.obs_names.equals(data.obs_names) and copied.obs.equals(data.obs)
    embed(data, trained)
    assert np.array_equal(copied.obsm["X_scmomer"], data.obsm["X_scmomer"])
    assert copied.uns["scmomer"] == data.uns["scmomer"]


def test_keys_can_be_chosen(trained, data):
    before = set(data.obsm)
    embed(data, trained, key_added="Z")
    assert set(data.obsm) - before == {"Z", "Z_rna", "Z_atac"}
    assert data.uns["scmomer"]["embed"]["params"]["key_added"] == "Z"


def test_the_model_and_its_parameters_are_recorded(trained, data):
    embed(data, trained)
    entry = data.uns["scmomer"]["embed"]
    assert entry == {"model_id": trained.id, "params": {"key_added": "X_scmomer"}}


def test_other_records_are_kept(trained, data):
    data.uns["scmomer"] = {"other": {"model_id": "x"}}
    embed(data, trained)
    assert set(data.uns["scmomer"]) == {"other", "embed"}


def test_batch_size_does_not_matter(trained, data):
    embed(data, trained)
    embed(data, trained, batch_size=7, key_added="Z")
    np.testing.assert_allclose(data.obsm["Z"], data.obsm["X_scmomer"], rtol=0, atol=1e-5)


def test_the_model_can_be_a_path_or_the_one_used_last(trained, saved, data):
    embed(data, trained, key_added="given")
    embed(data, saved, key_added="path")
    embed(data, key_added="last")  # that of the path
    for key in ("path", "last"):
        np.testing.assert_allclose(data.obsm[key], data.obsm["given"], rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Setting element:anndata.ImplicitModificationWarning")
def test_views_can_be_written_to(trained, mdata):
    embed(mdata, trained)
    for whole in (mdata, mdata["rna"]):
        embed(whole, trained)
        view = whole[10:20]
        assert view.is_view
        embed(view, trained, key_added="Z")
        np.testing.assert_allclose(view.obsm["Z"], whole.obsm["X_scmomer"][10:20], atol=1e-5)
        assert "Z" not in whole.obsm


def test_a_backed_file_can_be_embedded(trained, mdata, tmp_path):
    import anndata

    mdata["rna"].write_h5ad(tmp_path / "query.h5ad")
    backed = anndata.read_h5ad(tmp_path / "query.h5ad", backed="r")
    embed(backed, trained)
    expected = trained.get_latent_representation(mdata["rna"])
    assert np.array_equal(backed.obsm["X_scmomer"], expected)


def test_a_model_of_one_modality_writes_that_one(trained_rna, trained_atac, mdata):
    for name, model in (("rna", trained_rna), ("atac", trained_atac)):
        adata = mdata[name].copy()
        embed(adata, model)
        assert set(adata.obsm) == {"X_scmomer", f"X_scmomer_{name}"}
        assert np.array_equal(adata.obsm["X_scmomer"], adata.obsm[f"X_scmomer_{name}"])


def test_results_survive_a_file(trained, mdata, tmp_path):
    import mudata

    embed(mdata, trained)
    mdata.write(tmp_path / "cells.h5mu")
    with keep_obs():
        read = mudata.read_h5mu(tmp_path / "cells.h5mu")
    assert np.array_equal(read.obsm["X_scmomer"], mdata.obsm["X_scmomer"])
    assert read.uns["scmomer"]["embed"]["model_id"] == trained.id


def test_bad_data_are_left_as_they_were(trained, mdata, refuses):
    adata = mdata["rna"].copy()
    adata.X[3, 7] = 0.5
    with refuses(ValueError, "non-integer"):
        embed(adata, trained)
    assert not adata.obsm and "scmomer" not in adata.uns
    with refuses(TypeError, "an AnnData or a MuData", "list"):
        embed([1, 2], trained)
