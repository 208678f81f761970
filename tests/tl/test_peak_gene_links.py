"""``tl.peak_gene_links``: the table, its groups, its background, and what it refuses."""

from __future__ import annotations

import logging

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from scmomer import tl
from scmomer._compat import keep_obs
from scmomer.datasets import synthetic

COLUMNS = [
    "peak", "gene", "distance", "score", "sign", "z", "pval", "padj", "group", "block", "chrom",
    "start", "end", "tss", "strand",
]  # fmt: skip


def links(data, model, **options) -> pd.DataFrame:
    assert tl.peak_gene_links(data, model, **options) is None
    return data.uns["scmomer_links"]


def test_the_table_has_each_pair_once_with_its_place(mdata, trained, unchanged):
    with unchanged(mdata):
        found = links(mdata, trained, distance=50_000, min_cells=1)
    assert list(found.columns) == COLUMNS
    assert not found.duplicated(["peak", "gene"]).any() and (found["group"] == "all").all()
    genes, peaks = (mdata[m].var.loc[found[c]] for m, c in (("rna", "gene"), ("atac", "peak")))
    tss = np.where(genes["strand"] == "+", genes["start"], genes["end"])
    away = (peaks["start"].to_numpy() + peaks["end"].to_numpy()) // 2 - tss
    assert np.array_equal(found["tss"], tss)
    assert np.array_equal(found["distance"], np.where(genes["strand"] == "+", away, -away))
    assert found["distance"].abs().max() <= 50_000
    assert np.array_equal(found["chrom"], peaks["chrom"].astype(str))
    assert np.array_equal(found["start"], peaks["start"])
    assert found["score"].between(-1, 1).all()
    assert np.array_equal(found["sign"], np.sign(found["score"]))
    assert found["pval"].is_monotonic_increasing and found["pval"].between(0, 1).all()
    np.testing.assert_allclose(found["padj"], stats.false_discovery_control(found["pval"]))
    record = mdata.uns["scmomer"]["peak_gene_links"]
    assert record["model_id"] == trained.id and record["params"]["distance"] == 50_000


def test_a_copy_leaves_the_data_as_they_are(mdata, trained):
    found = tl.peak_gene_links(mdata, trained, key_added="here", copy=True)
    assert "here" in found.uns and "here" not in mdata.uns


def test_links_are_found_that_distance_does_not_give_away(trained):
    """With the true programs as the embedding, in place of that of a model trained for minutes."""
    mdata = synthetic(1500, 120, 600, n_states=6, marker_share=1, linked_within=200_000)
    mdata.obsm["truth"] = mdata.obsm["programs"]
    found = links(mdata, trained, distance=200_000, use_rep="truth", min_cells=1)
    linked = mdata["atac"].var["linked_gene"].astype(str)
    true = linked[found["peak"]].to_numpy() == found["gene"].to_numpy()
    assert roc_auc_score(true, found["score"]) > 0.85
    assert roc_auc_score(true, found["z"]) > 0.85
    assert roc_auc_score(true, -found["distance"].abs()) < 0.6


@pytest.mark.parametrize("null", ["distance", "trans"])
def test_p_values_do_not_depend_on_what_is_asked(mdata, trained, null):
    options = {"distance": 300_000, "null": null, "min_cells": 1}
    whole = links(mdata, trained, **options).set_index(["gene", "peak"])
    genes, peaks = ["Gene0003", "Gene0042"], list(mdata["atac"].var_names[::3])
    some = links(mdata, trained, gene_names=genes, **options).set_index(["gene", "peak"])
    assert set(some.index.get_level_values(0)) == set(genes)
    few = links(mdata, trained, peaks=peaks, **options).set_index(["gene", "peak"])
    assert set(few.index.get_level_values(1)) <= set(peaks) and len(few) < len(whole)
    for part in (some, few):
        for column in ("score", "z", "pval", "block"):
            pd.testing.assert_series_equal(part[column], whole.loc[part.index, column])
    assert np.nanmin(whole["pval"]) < np.nanmax(whole["pval"])


def test_groups_have_scores_of_their_own_cells(mdata, trained, caplog):
    mdata.obs["half"] = mdata.obs["batch"].astype(object)
    mdata.obs.loc[mdata.obs_names[:3], "half"] = None
    with caplog.at_level(logging.INFO, "scmomer"):
        found = links(mdata, trained, groupby="half", distance=50_000, min_cells=20)
    assert list(found["group"].unique()) == ["batch1", "batch2"]
    assert "3 cells without a value of 'half'" in caplog.text
    assert "batch1: " in caplog.text and "fewer than 20 cells" in caplog.text
    one = mdata[(mdata.obs["half"] == "batch1").to_numpy()].copy()
    alone = links(one, trained, distance=50_000, min_cells=20)
    inside = found[found["group"] == "batch1"].reset_index(drop=True)
    # the log expression is at the median total of all cells
    key = ["gene", "peak"]
    both = inside.merge(alone, on=key)
    assert len(both) == len(inside) == len(alone)
    assert np.corrcoef(both["score_x"], both["score_y"])[0, 1] > 0.99
    adjusted = stats.false_discovery_control(inside["pval"])
    np.testing.assert_allclose(inside["padj"], adjusted)


def test_pooled_removes_differences_between_groups(trained):
    """Types of cells alone link everything that marks one type; within types nothing is left."""
    mdata = synthetic(600, 60, 200, n_types=3, batch_effect=0)
    mdata.obsm["type"] = mdata.obsm["programs"] + np.random.default_rng(0).normal(0, 0.02, (600, 4))
    marks = mdata["rna"].var["marker_of"].astype(str)
    linked = mdata["atac"].var["linked_gene"].astype(str)
    options = {"use_rep": "type", "distance": 20_000, "min_cells": 1}
    size = {}
    for pooled in (False, True):
        extra = {"groupby": "cell_type", "pooled": True} if pooled else {}
        found = links(mdata, trained, **options, **extra)
        own = linked[found["peak"]].to_numpy() == found["gene"].to_numpy()
        of_type = marks[found["gene"]].str.startswith("type").to_numpy() & own
        size[pooled] = found["score"][of_type].mean()
    assert size[False] > 0.8 and size[True] < 0.5 * size[False]


def test_numbers_of_groups_stay_whole_beside_missing_ones(mdata, trained):
    mdata.obs["cluster"] = np.where(np.arange(120) < 10, np.nan, 1.0)
    found = links(mdata, trained, groupby="cluster", distance=20_000.0)
    assert set(found["group"]) == {"1"} and found["distance"].abs().max() <= 20_000


def test_small_groups_are_named(mdata, trained, refuses):
    mdata.obs["size"] = np.where(np.arange(120) < 100, "large", "small/er")
    with pytest.warns(UserWarning, match="1 groups of 'size' .* fewer than 50 .*'small/er'"):
        found = links(mdata, trained, groupby="size")
    assert set(found["group"]) == {"large"}
    with refuses(ValueError, "at least 50 cells in 'cell_type'", "'type1': 30", "groupby="):
        tl.peak_gene_links(mdata, trained, groupby="cell_type")


def test_results_survive_a_file(mdata, trained, tmp_path):
    mdata.obs["g"] = np.where(mdata.obs["batch"] == "batch1", "L2/3", "b")
    found = links(mdata, trained, groupby="g", distance=20_000)
    mdata.write_h5mu(tmp_path / "links.h5mu")
    with keep_obs():
        back = mudata.read_h5mu(tmp_path / "links.h5mu").uns["scmomer_links"]
    assert set(back["group"].astype(str)) == {"L2/3", "b"}
    for column in ("peak", "gene", "group", "strand"):
        assert back[column].astype(str).tolist() == found[column].tolist()
    np.testing.assert_array_equal(back["score"], found["score"])


def test_depth_can_be_removed(mdata, trained):
    plain = links(mdata, trained, distance=50_000, min_cells=1)
    adjusted = links(mdata, trained, distance=50_000, min_cells=1, adjust_depth=True)
    both = plain.merge(adjusted, on=["gene", "peak"])
    assert len(both) == len(plain) and not np.allclose(both["score_x"], both["score_y"])


@pytest.mark.parametrize("missing", [{"atac": 0.4}, {"rna": 0.3, "atac": 0.3}])
def test_cells_may_lack_a_modality(make_unseen, trained, missing):
    found = links(make_unseen(missing=missing), trained, distance=50_000, min_cells=1)
    assert len(found) > 100 and found["score"].between(-1, 1).all()


def test_rna_alone_is_linked_to_predicted_peaks(mdata, trained, caplog):
    rna = mdata["rna"].copy()
    with caplog.at_level(logging.INFO, "scmomer"):
        found = links(rna, trained, distance=50_000, min_cells=1)
    assert "the accessibility that RNA predicts" in caplog.text
    assert set(found["peak"]) <= set(trained.spec.features["atac"])
    # The score of one gene and its peaks: correlation of its projection with predicted logits.
    z = trained.get_latent_representation(rna).astype(float)
    z -= z.mean(0)
    basis = trained.module.basis.double().numpy()
    slopes = trained.module.modality("atac").decoder.slopes().double().numpy()
    logit = pd.DataFrame(z @ np.linalg.inv(basis) @ slopes.T, columns=trained.spec.features["atac"])
    x = rna[:, "Gene0010"].X.toarray().ravel()
    total = np.asarray(rna.X.sum(1)).ravel()
    x = np.log1p(x / total * np.median(total))
    fitted = z @ np.linalg.lstsq(z, x - x.mean(), rcond=None)[0]
    rows = found[found["gene"] == "Gene0010"]
    expected = [np.corrcoef(fitted, logit[peak])[0, 1] for peak in rows["peak"]]
    assert np.corrcoef(rows["score"], expected)[0, 1] > 0.999


def test_genes_are_located_by_a_table_or_a_file(mdata, trained, tmp_path):
    expected = links(mdata, trained, distance=50_000, min_cells=1)
    var = mdata["rna"].var[["chrom", "start", "end", "strand"]].copy()
    mdata["rna"].var.drop(columns=list(var), inplace=True)
    table = var.assign(chrom=var["chrom"].astype(str).str.removeprefix("chr"))
    pd.testing.assert_frame_equal(
        links(mdata, trained, distance=50_000, min_cells=1, genes=table), expected
    )
    path = tmp_path / "genes.gtf"
    path.write_text(
        "".join(
            f'{r.chrom}\tx\tgene\t{r.start + 1}\t{r.end}\t.\t{r.strand}\t.\tgene_name "{name}";\n'
            for name, r in var.iterrows()
        )
    )
    found = links(mdata, trained, distance=50_000, min_cells=1, genes=path)
    pd.testing.assert_frame_equal(found, expected)


def test_attributions_take_the_place_of_correlations(mdata, trained, refuses):
    pytest.importorskip("captum")
    options = {"distance": 50_000, "min_cells": 1}
    plain = links(mdata, trained, **options)
    found = links(mdata, trained, method="attribution", **options)
    both = plain.merge(found, on=["gene", "peak"])
    assert len(both) == len(plain) and found["score"].between(-1, 1).all()
    assert found["score"].std() > 0.05 and not np.allclose(both["score_x"], both["score_y"])
    assert both["block_x"].equals(both["block_y"])
    with refuses(ValueError, "adjust_depth=True", "method='correlation'", "attribution"):
        tl.peak_gene_links(mdata, trained, method="attribution", adjust_depth=True)


def test_wrong_options_are_refused(mdata, trained, refuses):
    for name, value in (("distance", 0), ("n_background", 5), ("min_cells", 0)):
        with refuses(ValueError, f"{name}= of at least", f"found {value}"):
            tl.peak_gene_links(mdata, trained, **{name: value})
    for value in ("500kb", 20.5, float("inf")):
        with refuses(ValueError, "a whole number", f"found {value!r}"):
            tl.peak_gene_links(mdata, trained, n_background=value)
    with refuses(ValueError, "block_correlation=", "found 2"):
        tl.peak_gene_links(mdata, trained, block_correlation=2)
    for name in ("null", "method"):
        with refuses(ValueError, f"{name}= among", "'nope'"):
            tl.peak_gene_links(mdata, trained, **{name: "nope"})
    with refuses(ValueError, "groupby= with pooled=True"):
        tl.peak_gene_links(mdata, trained, pooled=True)
    with refuses(KeyError, "gene_names=", "'nope'", "'Gene0001'"):
        tl.peak_gene_links(mdata, trained, gene_names=["nope"])
    with refuses(ValueError, "no such pair", "distance="):
        tl.peak_gene_links(
            mdata, trained, gene_names=["Gene0001"], peaks=[mdata["atac"].var_names[-1]]
        )
    with refuses(KeyError, "'X_other'", "obsm", "use_rep="):
        tl.peak_gene_links(mdata, trained, use_rep="X_other")
    with refuses(TypeError, "AnnData or a MuData", "int"):
        tl.peak_gene_links(3, trained)


def test_data_that_cannot_be_linked_are_refused(mdata, trained, trained_rna, refuses):
    with refuses(ValueError, "RNA and ATAC", "['rna']", "MuData"):
        tl.peak_gene_links(mdata["rna"].copy(), trained_rna)
    with refuses(ValueError, "data with RNA", "['atac']"):
        tl.peak_gene_links(mdata["atac"].copy(), trained)
    var = mdata["rna"].var
    place = var[["start", "end"]].copy()
    var[["start", "end"]] += 10**9
    with refuses(ValueError, "within 500000 base pairs", "found none", "same genome"):
        tl.peak_gene_links(mdata, trained)
    var[["start", "end"]] = place
    other = var.assign(chrom="NC_" + var["chrom"].astype(str))
    with refuses(ValueError, "same chromosomes", "'NC_chr1'", "'chr1'"):
        tl.peak_gene_links(mdata, trained, genes=other)
    var.drop(columns=["chrom", "start"], inplace=True)
    with refuses(KeyError, "mdata['rna'].var", "without ['chrom', 'start']", "genes=", "GTF"):
        tl.peak_gene_links(mdata, trained)


def test_one_chromosome_has_no_background(make_mdata, trained, refuses):
    mdata = make_mdata(n_chroms=1)
    with refuses(ValueError, "at least 2 chromosomes", "'chr1' alone"):
        tl.peak_gene_links(mdata, trained)


def test_pairs_without_background_have_no_p_value(mdata, trained):
    """The genes of chr1 have five peaks on other chromosomes, those of chr2 fifty."""
    chrom = mdata["atac"].var["chrom"].astype(str).to_numpy()
    one, two = (np.flatnonzero(chrom == c)[:n] for c, n in (("chr1", 50), ("chr2", 5)))
    with keep_obs():
        some = mudata.MuData(
            {"rna": mdata["rna"], "atac": mdata["atac"][:, np.r_[one, two]].copy()}
        )
    with pytest.warns(UserWarning, match="pairs have no p-value: too few peaks"):
        found = links(some, trained, min_cells=1)
    first = found["chrom"] == "chr1"
    assert found.loc[first, ["z", "pval", "padj"]].isna().all(axis=None) and first.any()
    assert found.loc[~first, ["z", "pval", "padj"]].notna().all(axis=None) and not first.all()


def test_one_matrix_of_both_modalities_is_read(mdata, trained):
    """Cells without counts of a modality are cells that lack it, as in mosaic data."""
    expected = links(mdata, trained, distance=50_000, min_cells=1)
    joint = anndata.concat(mdata.mod, axis=1, merge="same")
    columns = ["chrom", "start", "end", "strand"]
    genes = mdata["rna"].var[columns]
    found = links(joint, trained, distance=50_000, min_cells=1, genes=genes)
    pd.testing.assert_frame_equal(found, expected)


def test_a_group_without_enough_cells_is_named(mdata, trained):
    mdata.obs["g"] = np.where(np.arange(120) < 60, "measured", "without ATAC")
    with keep_obs():
        some = mudata.MuData(
            {"rna": mdata["rna"], "atac": mdata["atac"][:60].copy()}, obs=mdata.obs
        )
    with pytest.warns(UserWarning, match="10 cells of group 'without ATAC': it has no links"):
        found = links(some, trained, groupby="g", distance=50_000)
    assert set(found["group"]) == {"measured"}


def test_backed_data_are_read(mdata, trained, tmp_path):
    rna = mdata["rna"].copy()
    expected = links(rna, trained, distance=50_000, min_cells=1)
    rna.uns.clear()
    rna.write_h5ad(tmp_path / "rna.h5ad")
    backed = anndata.read_h5ad(tmp_path / "rna.h5ad", backed="r")
    pd.testing.assert_frame_equal(links(backed, trained, distance=50_000, min_cells=1), expected)
