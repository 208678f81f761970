"""``model.get_gene_embeddings`` and ``tl.gene_embeddings``."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from mudata import MuData

from scmomer.tasks.genes import read_embeddings
from scmomer.tl import gene_embeddings


@pytest.fixture
def rna(make_unseen):
    return make_unseen()["rna"].copy()


def rna_in(data):
    return data["rna"] if isinstance(data, MuData) else data


QUIET = {"enable_progress_bar": False}


@pytest.mark.parametrize("data", ["MuData", "mosaic", "AnnData-rna"], indirect=True)
def test_embeddings_of_genes_are_written(trained, data, unchanged):
    with unchanged(data):
        assert gene_embeddings(data, trained, **QUIET) is None
    found, expected = rna_in(data), trained.get_gene_embeddings(data)
    assert found.varm["X_scmomer"].dtype == np.float32
    assert np.array_equal(found.varm["X_scmomer"], expected.X, equal_nan=True)
    assert np.array_equal(found.varm["X_scmomer_n_cells"][:, 0], expected.obs["n_cells"])
    info = found.uns["scmomer_gene_embeddings"]
    assert info == {"X_scmomer": {"model_id": trained.id, "source": "contextual"}}
    assert data.uns["scmomer"]["gene_embeddings"]["model_id"] == trained.id


def test_counts_and_means_are_those_of_the_cells(trained, rna):
    found = trained.get_gene_embeddings(rna)
    n = np.asarray((rna.X > 0).sum(0)).ravel()
    assert np.array_equal(found.obs["n_cells"], n)
    np.testing.assert_allclose(found.obs["detection"], n / 120)
    totals = np.asarray(rna.X.sum(1))
    expected = np.log2(1 + rna.X.toarray() / totals * trained.target_sum).mean(0)
    np.testing.assert_allclose(found.obs["mean"], expected, rtol=1e-4)


def test_the_embedding_is_that_of_the_groups_weighted(trained, rna):
    whole = trained.get_gene_embeddings(rna)
    parts = trained.get_gene_embeddings(rna, groupby="cell_type")
    assert list(parts.uns["groups"]) == ["type1", "type2", "type3", "type4"]
    assert parts.obsm["groups"].shape == (60, 8, 4)
    np.testing.assert_allclose(parts.X, whole.X, rtol=0, atol=1e-5, equal_nan=True)
    one = trained.get_gene_embeddings(rna[rna.obs["cell_type"] == "type2"])
    np.testing.assert_allclose(
        parts.obsm["groups"][..., 1], one.X, rtol=0, atol=1e-5, equal_nan=True
    )
    assert np.array_equal(parts.obsm["n_cells"][:, 1], one.obs["n_cells"])


def test_several_groups_go_into_one_array_whatever_their_names(trained, rna, tmp_path):
    rna.obs["layer"] = pd.Categorical(np.where(np.arange(120) % 2, "L2/3", "L5/6: IT"))
    gene_embeddings(rna, trained, groupby="layer", key_added="G", **QUIET)
    assert rna.varm["G"].shape == (60, 8, 2) and rna.varm["G_n_cells"].shape == (60, 2)
    assert list(rna.uns["scmomer_gene_embeddings"]["G"]["groups"]) == ["L2/3", "L5/6: IT"]
    rna.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    assert np.array_equal(again.varm["G"], rna.varm["G"], equal_nan=True)
    assert list(again.uns["scmomer_gene_embeddings"]["G"]["groups"]) == ["L2/3", "L5/6: IT"]


def test_each_key_has_its_own_groups(trained, rna, refuses):
    rna.obs["reversed"] = rna.obs["cell_type"].map(
        {"type1": "d", "type2": "c", "type3": "b", "type4": "a"}
    )
    gene_embeddings(rna, trained, groupby="cell_type", **QUIET)
    gene_embeddings(rna, trained, groupby="reversed", key_added="other", **QUIET)
    one, other = (
        read_embeddings(rna, key, group) for key, group in (("X_scmomer", "type1"), ("other", "d"))
    )
    assert np.array_equal(one.vectors, other.vectors)
    with refuses(ValueError, "['type1', 'type2', 'type3', 'type4']", "'a'"):
        read_embeddings(rna, "X_scmomer", "a")


def test_genes_never_observed_are_nan_and_counted(trained, rna, caplog):
    rna.X[:, 3] = 0
    rna.X.eliminate_zeros()
    with caplog.at_level(logging.INFO, logger="scmomer"):
        gene_embeddings(rna, trained, **QUIET)
    assert np.isnan(rna.varm["X_scmomer"][3]).all() and rna.varm["X_scmomer_n_cells"][3] == 0
    assert "1 of 60 genes are in no cell" in caplog.text
    assert np.isfinite(np.delete(rna.varm["X_scmomer"], 3, 0)).all()


def test_genes_in_another_order_and_unknown_ones(trained, rna, caplog):
    expected = trained.get_gene_embeddings(rna)
    shuffled = rna[:, ::-1].copy()
    shuffled.var_names = ["unknown", *shuffled.var_names[1:]]
    with caplog.at_level(logging.INFO, logger="scmomer"):
        gene_embeddings(shuffled, trained, source="table", **QUIET)
    table = trained.get_gene_embeddings(source="table")
    assert np.array_equal(shuffled.varm["X_scmomer"][1:], table.X[::-1][1:])
    assert np.isnan(shuffled.varm["X_scmomer"][0]).all()
    assert "1 of 60 genes are not in the model" in caplog.text
    assert "X_scmomer_n_cells" not in shuffled.varm
    assert expected.X.shape == table.X.shape == (60, 8)


def test_the_table_of_a_performer_is_where_its_tokens_begin(trained):
    table = trained.get_gene_embeddings(source="table")
    weights = trained.module.state_dict()["modalities.rna.encoder.model.pos_emb.emb.weight"]
    assert np.array_equal(table.X, weights[:60].numpy())
    table.X[:] = 0
    assert weights.any()  # a copy


def test_an_mlp_has_input_weights_but_no_tokens(mdata, make_model, train, refuses):
    model = make_model(mdata["rna"].copy(), rna_encoder="mlp")
    train(model)
    table = model.get_gene_embeddings(source="table")
    assert np.array_equal(table.X, model.module.rna.encoder.first.detach().numpy())
    with refuses(ValueError, "rna_encoder='mlp'", "rna_encoder='performer'", "source='table'"):
        gene_embeddings(mdata["rna"], model)


def test_counts_of_a_former_call_do_not_stay(trained, rna):
    gene_embeddings(rna, trained, groupby="cell_type", enable_progress_bar=False)
    gene_embeddings(rna, trained, source="table", enable_progress_bar=False)
    assert list(rna.varm) == ["X_scmomer"]


def test_a_copy_leaves_the_data_alone(trained, rna):
    copied = gene_embeddings(rna, trained, copy=True, **QUIET)
    assert "X_scmomer" in copied.varm and not len(rna.varm) and not rna.uns


def test_scanpy_works_on_genes(trained, rna):
    genes = trained.get_gene_embeddings(rna)
    sc.pp.neighbors(genes, n_neighbors=5, use_rep="X")
    assert genes.obsp["connectivities"].shape == (60, 60)


def test_cells_without_a_group_are_left_out_and_empty_groups_named(trained, rna, caplog):
    labels = rna.obs["cell_type"].cat.add_categories("none of them")
    labels[labels == "type1"] = np.nan
    rna.obs["some"] = labels
    with caplog.at_level(logging.INFO, logger="scmomer"):
        found = trained.get_gene_embeddings(rna, groupby="some")
    assert list(found.uns["groups"]) == ["type2", "type3", "type4"]
    assert "'none of them'" in caplog.text and "'type1'" in caplog.text
    kept = rna[rna.obs["some"].notna()]
    assert np.array_equal(found.obs["n_cells"], np.asarray((kept.X > 0).sum(0)).ravel())


def test_labels_may_be_a_series(trained, rna):
    labels = rna.obs["cell_type"].sample(frac=1, random_state=0)  # in another order
    one = trained.get_gene_embeddings(rna, groupby=labels)
    other = trained.get_gene_embeddings(rna, groupby="cell_type")
    assert np.array_equal(one.obsm["groups"], other.obsm["groups"], equal_nan=True)


def test_registered_data_are_used_if_none_are_given(mdata, make_model, train):
    model = make_model(mdata, {"labels_key": "cell_type"})
    train(model)
    one, other = model.get_gene_embeddings(), model.get_gene_embeddings(mdata)
    np.testing.assert_allclose(one.X, other.X, rtol=0, atol=1e-5, equal_nan=True)
    grouped = model.get_gene_embeddings(groupby="cell_type")
    assert grouped.obsm["groups"].shape[2] == 4


def test_the_bar_counts_cells(trained, rna, capsys):
    gene_embeddings(rna, trained)
    assert "120/120" in capsys.readouterr().err
    gene_embeddings(rna, trained, **QUIET)
    assert not capsys.readouterr().err


# -- wrong input


def test_wrong_options(trained, rna, refuses):
    with refuses(ValueError, "['contextual', 'table']", "'both'"):
        gene_embeddings(rna, trained, source="both")
    with refuses(ValueError, "groupby=None with source='table'"):
        gene_embeddings(rna, trained, source="table", groupby="cell_type")
    with refuses(KeyError, "'nothing'", "cell_type"):
        gene_embeddings(rna, trained, groupby="nothing")
    rna.obs["score"] = np.linspace(0, 1, 120)
    with refuses(ValueError, "120 different numbers", "pandas.cut"):
        gene_embeddings(rna, trained, groupby="score")
    rna.obs["empty"] = np.nan
    with refuses(ValueError, "groups of cells in 'empty'"):
        gene_embeddings(rna, trained, groupby="empty")
    labels = rna.obs["cell_type"].to_numpy()
    with refuses(ValueError, "names of cells as its index", "'0', '1', '2'", "set_axis"):
        trained.get_gene_embeddings(rna, groupby=pd.Series(labels))
    with refuses(ValueError, "one label for each cell", "120 repeated", "duplicated()"):
        trained.get_gene_embeddings(rna, groupby=pd.concat([rna.obs["cell_type"]] * 2))
    with refuses(TypeError, "found ndarray", "pandas.Series(labels, index=adata.obs_names)"):
        trained.get_gene_embeddings(rna, groupby=labels)


def test_a_model_or_data_without_genes(trained, trained_atac, mdata, refuses):
    with refuses(ValueError, "model of RNA", "['atac']"):
        gene_embeddings(mdata["atac"], trained_atac)
    with refuses(ValueError, "cells with RNA", "['atac']"):
        gene_embeddings(mdata["atac"], trained)
    with refuses(KeyError, "RNA in the MuData", "['atac']"):
        gene_embeddings(MuData({"atac": mdata["atac"]}), trained)


def test_no_shared_gene(trained, rna, refuses):
    rna.var_names = [f"x{i}" for i in range(60)]
    with refuses(ValueError, "align_genes"):
        gene_embeddings(rna, trained, source="table")
