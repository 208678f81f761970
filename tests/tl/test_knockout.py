"""``tl.knockout``: against loops over cells, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from scmomer.tasks.perturbation.knockout import Knockout
from scmomer.tl import knockout

QUIET = {"enable_progress_bar": False, "n_background": 20}


@pytest.fixture
def rna(make_unseen):
    return make_unseen()["rna"].copy()


@pytest.fixture(scope="module")
def screened(trained):
    from scmomer.datasets import synthetic

    cells = synthetic(120, 60, 200, seed=7)["rna"]
    cells.var_names = trained.spec.features["rna"]
    return knockout(cells, None, trained, groupby="cell_type", n_top=5, **QUIET), cells


def decoded(model, rows, modality: str) -> np.ndarray:
    """Values before they become probabilities, one cell after another, heads averaged."""
    module = model.module
    with torch.no_grad():
        cell = module.rna.encoder(rows).cell
        z = module.fuse(module.bridge("rna", cell, rows))
        parts = [module.modality(modality).decoder(z)]
        if modality != "rna":
            parts += [h.decoder(modality)(h(cell, rows)) for h in module.heads_from("rna")]
    return torch.stack(parts).mean(0).numpy()


@pytest.mark.parametrize("modality", ["rna", "atac"])
def test_changes_are_means_over_cells(trained, rna, modality):
    """In plain code: the token and the value of the gene are taken from each cell."""
    from scmomer.nn import to_rows
    from scmomer.tasks.perturbation.knockout import KnockoutNetwork

    gene = rna.var_names[3]
    found = knockout(rna, gene, trained, groupby="cell_type", n_top=0, **QUIET)
    network, module = KnockoutNetwork(trained.module), trained.module
    rows = module.rna.normalize(to_rows(rna.X))
    after = network.knocked(rows, torch.full((rna.n_obs,), 3))
    parts = after.reshape(rna.n_obs, -1, 8)
    values = [module.modality(modality).decoder(parts[:, 0])]
    if modality == "atac":
        heads = enumerate(module.heads_from("rna"), 1)
        values += [head.decoder("atac")(parts[:, k]) for k, head in heads]
    change = torch.stack(values).mean(0).detach().numpy() - decoded(trained, rows, modality)
    table = found.changes(gene, modality)
    assert list(table.index) == list(trained.spec.features[modality])
    for group in found.groups:
        mine = (rna.obs["cell_type"] == group).to_numpy()
        np.testing.assert_allclose(table[group], change[mine].mean(0), atol=1e-5)


def test_a_row_for_each_gene_and_group(screened):
    found, cells = screened
    assert isinstance(found, Knockout) and "60 genes" in repr(found)
    table = found.table
    assert len(table) == 60 * 4 and not table.duplicated(["gene", "group"]).any()
    order = np.where(table["embedding_z"].isna(), 2, table["outside"])
    assert (np.diff(order) >= 0).all()  # beyond the background, then without a score
    for _, part in table.dropna(subset="embedding_z").groupby("outside"):
        assert (np.diff(part["embedding_z"]) <= 0).all()
    row = table[table["gene"] == cells.var_names[5]].set_index("group")
    for group, part in cells.obs.groupby("cell_type", observed=True):
        x = cells[part.index, 5].X.toarray()
        assert row.loc[group, "n_cells"] == len(part)
        assert row.loc[group, "n_changed"] == (x > 0).sum()
        assert row.loc[group, "detection"] == pytest.approx((x > 0).mean())
        assert row.loc[group, "dose"] == pytest.approx(row.loc[group, "mean"])
    few = table["n_changed"] < 10
    assert table.loc[few, "embedding_z"].isna().all() and few.any()
    assert (table.loc[table["embedding_z"].notna(), "n_background"] >= 20).all()
    assert found.shift.shape == (60, 4, 8)


def test_the_shift_has_the_length_of_the_score(screened):
    found, _ = screened
    wide = found.table.pivot(index="gene", columns="group", values="embedding")
    wide = wide.loc[found.genes, found.groups]
    np.testing.assert_allclose(np.linalg.norm(found.shift, axis=-1), wide, rtol=1e-4)


def test_random_genes_explain_expression(screened):
    """Without them shifts are ranked by expression; with them much less."""
    found, _ = screened
    some = found.table.dropna(subset="embedding_z")
    raw = np.linalg.norm(found.latents, axis=-1)
    raw = pd.DataFrame(raw, found.genes, found.groups).stack()
    raw = raw.loc[pd.MultiIndex.from_frame(some[["gene", "group"]])].to_numpy()
    by_expression = some["mean"].corr(pd.Series(raw, some.index), method="spearman")
    by_z = some["mean"].corr(some["embedding_z"], method="spearman")
    assert by_expression > 0.5 and abs(by_z) < 0.6 * by_expression


def test_features_are_the_largest_z(screened):
    found, _ = screened
    table = found.features
    assert list(table.columns[:5]) == ["gene", "group", "modality", "feature", "rank"]
    assert not (table["gene"] == table["feature"]).any()  # the gene itself
    sizes = table.groupby(["gene", "group", "modality"]).size()
    assert sizes.max() == 5 and set(table["modality"]) == {"rna", "atac"}
    z = (table["change"] - table["expected"]) / table["background_std"]
    np.testing.assert_allclose(table["z"], z, rtol=1e-3, atol=1e-3)
    for (gene, group, modality), part in list(table.groupby(["gene", "group", "modality"]))[:20]:
        change = found.changes(gene, modality)[group]
        np.testing.assert_allclose(part["change"], change[part["feature"]], atol=1e-6)
        assert (np.diff(part["z"].abs()) <= 1e-6).all()
    atac = table[table["modality"] == "atac"]
    assert atac["before"].between(0, 1).all() and (atac["head_std"] > 0).all()
    assert (np.sign(atac["after"] - atac["before"]) == np.sign(atac["change"])).all()
    assert table.loc[table["modality"] == "rna", "head_std"].isna().all()


def test_towards_a_group_or_its_embedding(trained, rna):
    genes = list(rna.var_names[:12])
    options = {"groupby": "cell_type", "n_top": 0, **QUIET}
    found = knockout(rna, genes, trained, towards="type1", **options)
    own = found.table["group"] == "type1"
    assert found.table.loc[own, ["towards", "towards_z"]].isna().all(axis=None)
    some = found.table.dropna(subset="towards_z")
    inside = some.loc[~some["outside"], "towards_z"]
    assert len(inside) and (np.diff(inside) <= 0).all()
    z = trained.get_latent_representation(rna)
    mean = z[(rna.obs["cell_type"] == "type1").to_numpy()].mean(0)
    again = knockout(rna, genes, trained, towards=mean, **options).table
    both = some.merge(again, on=["gene", "group"], suffixes=("", "_again"))
    np.testing.assert_allclose(both["towards"], both["towards_again"], rtol=1e-2, atol=1e-6)
    row = some.iloc[0]
    way = mean - z[(rna.obs["cell_type"] == row["group"]).to_numpy()].mean(0)
    shift = found.shift[
        list(found.genes).index(row["gene"]), list(found.groups).index(row["group"])
    ]
    assert row["towards"] == pytest.approx(shift @ way / (way @ way), rel=1e-2)


def test_minibatches_do_not_matter_and_runs_repeat(trained, rna):
    genes = list(rna.var_names[:6])
    one, two, other = (
        knockout(rna, genes, trained, batch_size=size, seed=seed, n_top=2, **QUIET)
        for size, seed in ((128, 0), (7, 0), (128, 0))
    )
    pd.testing.assert_frame_equal(one.table, two.table, rtol=1e-2, atol=1e-4)
    pd.testing.assert_frame_equal(one.table, other.table)
    first, second = (
        knockout(rna, genes[0], trained, seed=seed, n_top=0, **QUIET) for seed in (0, 1)
    )
    assert first.table["embedding_z"][0] != second.table["embedding_z"][0]
    np.testing.assert_allclose(first.latents, second.latents, atol=1e-6)


def test_genes_have_several_names(trained, rna, caplog):
    import logging

    with caplog.at_level(logging.INFO, logger="scmomer"):
        found = knockout(rna, ["gene0003", "Gene0003"], trained, n_top=0, **QUIET)
    assert list(found.genes) == ["Gene0003"] and "1 genes are named twice" in caplog.text


def test_a_draw_of_cells_is_close_to_all(trained, rna):
    gene = rna.var_names[np.asarray((rna.X > 0).sum(0)).ravel().argmax()]
    every = knockout(rna, gene, trained, max_cells=None, n_top=0, **QUIET)
    some = knockout(rna, gene, trained, max_cells=60, n_top=0, **QUIET)
    apart = np.linalg.norm(some.latents - every.latents)
    assert 0 < apart < 0.5 * np.linalg.norm(every.latents)
    assert some.table["n_changed"][0] == every.table["n_changed"][0] > 60


def test_high_expression_changes_all_cells(trained, rna):
    found = knockout(rna, list(rna.var_names[:3]), trained, mode="top_bin", n_top=0, **QUIET)
    assert (found.table["n_changed"] > 100).all() and (found.table["dose"] > 0).all()
    low = knockout(rna, list(rna.var_names[:3]), trained, n_top=0, **QUIET)
    assert (found.table["dose"].to_numpy() != low.table["dose"].to_numpy()).all()


def test_a_mudata_is_read_in_its_rna(trained, make_unseen, unchanged):
    mdata = make_unseen()
    genes = list(mdata["rna"].var_names[:3])
    with unchanged(mdata):
        found = knockout(mdata, genes, trained, n_top=0, **QUIET)
    alone = knockout(mdata["rna"].copy(), genes, trained, n_top=0, **QUIET)
    pd.testing.assert_frame_equal(found.table, alone.table)


def test_models_of_rna_alone_and_of_protein(trained_rna, trained_protein, mdata):
    genes = list(mdata["rna"].var_names[:3])
    found = knockout(mdata["rna"], genes, trained_rna, n_top=2, **QUIET)
    assert "accessibility" not in found.table and set(found.features["modality"]) == {"rna"}
    found = knockout(mdata["rna"], genes, trained_protein, n_top=2, **QUIET)
    assert set(found.features["modality"]) == {"rna", "protein"}
    protein = found.features[found.features["modality"] == "protein"]
    ratio = np.log(protein["after"] / protein["before"])
    np.testing.assert_allclose(ratio, protein["change"], rtol=1e-3, atol=1e-6)
    assert found.table["protein_z"].notna().any()


def test_what_is_not_known_is_refused(trained, trained_atac, rna, refuses):
    with refuses(KeyError, "in the model", "Gene00O3 (did you mean Gene00"):
        knockout(rna, ["Gene00O3"], trained)
    with refuses(KeyError, "in the data", "Gene0001"):
        knockout(rna[:, 1:].copy(), "Gene0001", trained)
    with refuses(ValueError, "genes to knock out", "found none"):
        knockout(rna, [], trained)
    with refuses(ValueError, "'zero' or 'top_bin'", "'half'"):
        knockout(rna, "Gene0001", trained, mode="half")
    with refuses(ValueError, "n_background of at least 20", "found 5"):
        knockout(rna, "Gene0001", trained, n_background=5)
    for name in ("min_cells", "max_cells", "n_top", "batch_size"):
        with refuses(ValueError, f"{name} of at least 1, a whole number"):
            knockout(rna, "Gene0001", trained, **{name: 1.5})
    with refuses(KeyError, "'nothing'"):
        knockout(rna, "Gene0001", trained, groupby="nothing")
    with refuses(ValueError, "a group with groupby=", "'type1'"):
        knockout(rna, "Gene0001", trained, towards="type1")
    with refuses(ValueError, "'type1'", "found 'type9'"):
        knockout(rna, "Gene0001", trained, groupby="cell_type", towards="type9")
    with refuses(ValueError, "shape (8,)", "found shape (3,)"):
        knockout(rna, "Gene0001", trained, towards=np.zeros(3))
    with refuses(ValueError, "rank_by=", "'towards_z'", "Pass towards="):
        knockout(rna, "Gene0001", trained, rank_by="towards_z")
    with refuses(ValueError, "a model with RNA", "['atac']"):
        knockout(rna, "Gene0001", trained_atac)
    with refuses(TypeError, "AnnData or a MuData"):
        knockout([1], "Gene0001", trained)


def test_results_are_asked_for_by_name(screened, refuses):
    found, _ = screened
    by = found.rank("accessibility_z", "type2")
    assert set(by["group"]) == {"type2"} and len(by) == 60
    assert (np.diff(by.loc[~by["outside"], "accessibility_z"].dropna()) <= 0).all()
    away = found.rank("accessibility_z", "type2", ascending=True)
    assert away["gene"][0] != by["gene"][0]
    with refuses(KeyError, "'embedding_z'", "'towards'", "Pass towards="):
        found.rank("towards")
    with refuses(ValueError, "group among", "'type9'"):
        found.rank(group="type9")
    with refuses(KeyError, "gene among", "'GATA1'"):
        found.changes("GATA1")
    with refuses(KeyError, "modality among 'rna', 'atac'", "'protein'"):
        found.changes(found.genes[0], "protein")


def test_odd_input_is_refused(trained, rna, refuses):
    for bad in (5, [("Gene0001", "Gene0002")]):
        with refuses(TypeError, "genes as a list of names"):
            knockout(rna, bad, trained)
    for bad in ("a", -1, None, 1.5):
        with refuses(ValueError, "seed of at least 0"):
            knockout(rna, "Gene0001", trained, seed=bad)
    with refuses(ValueError, "at least min_cells=10 cells express", "lower min_cells="):
        knockout(rna[:1].copy(), None, trained)
    with refuses(ValueError, "finite embedding of shape (8,), found other values"):
        knockout(rna, "Gene0001", trained, towards=["a"] * 8)


def test_a_wanted_group_may_be_a_number(trained, rna):
    rna.obs["leiden"] = np.arange(rna.n_obs) % 2
    found = knockout(rna, "Gene0001", trained, groupby="leiden", towards=1, n_top=0, **QUIET)
    assert found.table.loc[found.table["group"] == "1", "towards"].isna().all()


def test_shares_of_random_genes_are_ranked_from_small_to_large(trained, rna):
    found = knockout(rna, list(rna.var_names[:8]), trained, rank_by="embedding_p", n_top=0, **QUIET)
    assert (np.diff(found.table["embedding_p"].dropna()) >= 0).all()
