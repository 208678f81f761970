"""``tl.gene_variability`` and its plot."""

from __future__ import annotations

import logging

import anndata as ad
import matplotlib as mpl
import numpy as np
import pytest

from scmomer import pl
from scmomer.tl import gene_variability

mpl.use("Agg")
QUIET = {"enable_progress_bar": False}


@pytest.fixture
def rna(make_unseen):
    return make_unseen()["rna"].copy()


def test_markers_move_and_other_genes_do_not(mdata, make_model, train, caplog):
    adata = mdata["rna"].copy()
    model = make_model(adata)
    train(model, max_epochs=3)
    with caplog.at_level(logging.INFO, logger="scmomer"):
        gene_variability(adata, "cell_type", model, **QUIET)
    table = adata.varm["gene_variability"]
    markers = adata.var["marker_of"].isin(["type1", "type2", "type3", "type4"])
    assert table["variability"][markers].median() > 5 * abs(table["variability"][~markers].median())
    assert (table["share"].dropna() <= 1).all()
    assert "Spearman correlation of their variability with detection" in caplog.text


def test_labels_at_random_give_none(trained, rna):
    rna.obs["random"] = np.random.default_rng(0).permutation(np.arange(120) % 4).astype(str)
    gene_variability(rna, "random", trained, **QUIET)
    gene_variability(rna, "cell_type", trained, key_added="true", **QUIET)
    chance, true = (rna.varm[k]["variability"] for k in ("gene_variability", "true"))
    assert abs(chance.mean()) < 0.2 * true.mean()


def test_batches_give_a_standard_error(trained, rna):
    gene_variability(
        rna, "cell_type", trained, batch_key="batch", min_cells=2, min_group=8, **QUIET
    )
    table = rna.varm["gene_variability"]
    assert (table["n_batches"] == 2).sum() > 30
    assert table["se"][table["n_batches"] == 2].notna().all()
    assert table["se"][table["n_batches"] < 2].isna().all()
    parts = []
    for batch in ("batch1", "batch2"):
        part = rna[rna.obs["batch"] == batch].copy()
        gene_variability(part, "cell_type", trained, min_cells=2, min_group=8, **QUIET)
        parts.append(part.varm["gene_variability"])
    both = table["n_batches"] == 2
    assert parts[0]["n_groups"][both].min() >= 2 and parts[1]["n_groups"][both].min() >= 2


def test_the_draw_repeats(trained, rna):
    for key, seed in (("a", 0), ("b", 0), ("c", 1)):
        gene_variability(rna, "cell_type", trained, max_cells=12, seed=seed, key_added=key, **QUIET)
    assert rna.varm["a"].equals(rna.varm["b"]) and not rna.varm["a"].equals(rna.varm["c"])


def test_names_of_cells_may_repeat(trained, rna):
    options = {"max_cells": 20, **QUIET}
    expected = gene_variability(rna, "cell_type", trained, copy=True, **options)
    rna.obs_names = np.repeat(rna.obs_names[::2], 2)
    gene_variability(rna, "cell_type", trained, **options)
    assert rna.varm["gene_variability"].equals(expected.varm["gene_variability"])


def test_small_groups_are_left_out_and_named(trained, rna, caplog):
    rna.obs["some"] = np.where(np.arange(120) < 10, "rare", rna.obs["cell_type"].astype(str))
    with caplog.at_level(logging.INFO, logger="scmomer"):
        gene_variability(rna, "some", trained, min_group=20, **QUIET)
    assert "fewer than 20 cells are left out: ['rare']" in caplog.text
    assert rna.varm["gene_variability"]["n_groups"].max() <= 4


def test_a_copy_that_goes_to_disk(trained, rna, tmp_path):
    copied = gene_variability(rna, "cell_type", trained, copy=True, **QUIET)
    assert not len(rna.varm)
    copied.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad").varm["gene_variability"]
    assert list(again.columns) == [
        *("variability", "se", "share", "n_groups", "n_batches", "detection")
    ]


def test_genes_that_the_model_lacks_are_nan(trained, rna):
    more = rna.copy()
    more.var_names = ["unknown", *more.var_names[1:]]
    gene_variability(more, "cell_type", trained, **QUIET)
    table = more.varm["gene_variability"]
    assert table.loc["unknown"].isna().all() and table["variability"].notna().sum() > 30


def test_wrong_input(trained, rna, refuses):
    with refuses(ValueError, "2 groups of 100 cells in 'cell_type'", "Lower min_group="):
        gene_variability(rna, "cell_type", trained, min_group=100)
    with refuses(ValueError, "within a batch of 'batch'", "leave out batch_key="):
        gene_variability(rna, "cell_type", trained, batch_key="batch", min_group=50)
    with refuses(ValueError, "min_cells of at least 2"):
        gene_variability(rna, "cell_type", trained, min_cells=1)
    for name in ("min_cells", "min_group"):
        with refuses(ValueError, f"{name} of at least 1, a whole number", "'5'"):
            gene_variability(rna, "cell_type", trained, **{name: "5"})
    with refuses(ValueError, "max_cells of at least min_cells=5", "found 4"):
        gene_variability(rna, "cell_type", trained, max_cells=4)
    rna.obs["number"] = np.arange(rna.n_obs) / 7
    with refuses(ValueError, "'0' 1", f"and {rna.n_obs - 10} smaller ones"):
        gene_variability(rna, "number", trained)
    with refuses(KeyError, "'nothing'"):
        gene_variability(rna, "nothing", trained)


def test_the_plot_names_genes(trained, rna, refuses):
    gene_variability(rna, "cell_type", trained, **QUIET)
    other = rna.var_names[7]
    ax = pl.gene_variability(rna, n_genes=3, genes=[other], show=False)
    table = rna.varm["gene_variability"]
    top = table["variability"].sort_values(ascending=False).index[:3]
    assert {t.get_text() for t in ax.texts} == {*top, other}
    points = ax.collections[0].get_offsets()
    assert len(points) == table["variability"].notna().sum()
    with refuses(KeyError, "'other'", "gene_variability", "scmomer.tl.gene_variability"):
        pl.gene_variability(rna, key="other")
    with refuses(KeyError, "genes of the data", "['GATA1']"):
        pl.gene_variability(rna, genes=["GATA1"])
    with refuses(TypeError, "AnnData or a MuData", "DataFrame"):
        pl.gene_variability(table)
    rna.varm["vectors"] = np.zeros((rna.n_vars, 3))
    with refuses(KeyError, "a table of scmomer.tl.gene_variability", "ndarray", "key="):
        pl.gene_variability(rna, key="vectors")
    rna.varm["empty"] = table * np.nan
    with refuses(ValueError, "genes with a variability", f"none of {rna.n_vars}"):
        pl.gene_variability(rna, key="empty")


def test_the_plot_takes_one_name_and_repeated_names(trained, rna):
    gene_variability(rna, "cell_type", trained, **QUIET)
    names = [rna.var_names[1], *rna.var_names[1:]]
    rna.var_names = names
    ax = pl.gene_variability(rna, n_genes=rna.n_vars, genes=names[5], show=False)
    assert sorted(t.get_text() for t in ax.texts) == sorted([*set(names), names[5]])
