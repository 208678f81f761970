"""Counts of another peak set: equal to a double loop, and errors."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

import scmomer
from scmomer.data._counts import layer_names
from scmomer.pp import align_peaks


def intervals(rng, n, chroms=("chr1", "chr2", "chr10", "chrX"), length=20_000) -> list[str]:
    """Unique names of intervals, which may overlap and contain each other, in no order."""
    start = rng.integers(0, length, 2 * n)
    end = start + rng.choice([1, 2, 50, 500, 3000], 2 * n)
    chrom = rng.choice(chroms, 2 * n)
    names = [f"{c}:{a}-{b}" for c, a, b in zip(chrom, start, end, strict=True)]
    return list(dict.fromkeys(names))[:n]


def cells(names, rng=None, n=7) -> AnnData:
    """Counts of peaks with all kinds of annotation."""
    rng = rng or np.random.default_rng(0)
    X = sp.csr_matrix(rng.poisson(1, (n, len(names))).astype(np.float32))
    adata = AnnData(X, var=pd.DataFrame({"mean": 1.0}, index=list(names)))
    adata.obs_names = [f"cell{i}" for i in range(n)]
    adata.obs["batch"] = pd.Categorical(["a", "b"] * (n // 2) + ["a"] * (n % 2))
    adata.obsm["X_umap"] = rng.normal(size=(n, 2))
    adata.obsm["frame"] = pd.DataFrame({"x": range(n)}, index=adata.obs_names)
    adata.obsp["distances"] = sp.eye(n, format="csr")
    adata.layers["double"] = 2 * X
    adata.varm["loadings"] = np.ones((len(names), 3))
    adata.uns["colors"] = {"a": [1, 2]}
    return adata


def parse(name) -> tuple[str, int, int]:
    chrom, place = name.split(":")
    start, end = place.split("-")
    return chrom, int(start), int(end)


def overlap(a, b) -> int:
    """Bases that two intervals share."""
    (c, s, e), (d, t, f) = parse(a), parse(b)
    return min(e, f) - max(s, t) if c == d else 0


def naive(adata, targets, min_overlap=1) -> np.ndarray:
    """Loop over pairs of intervals."""
    X = adata.X.toarray() if sp.issparse(adata.X) else np.asarray(adata.X)
    result = np.zeros((adata.n_obs, len(targets)))
    for i, name in enumerate(adata.var_names):
        for j, target in enumerate(targets):
            if overlap(name, target) >= min_overlap:
                result[:, j] += X[:, i]
    return result


def naive_center(adata, targets) -> np.ndarray:
    """Loop over peaks."""
    result = np.zeros((adata.n_obs, len(targets)))
    for i, name in enumerate(adata.var_names):
        chrom, start, end = parse(name)
        center, best, nearest = (start + end) // 2, None, np.inf
        for j, (c, s, e) in enumerate(map(parse, targets)):
            distance = abs((s + e) // 2 - center)
            if c == chrom and s <= center < e and distance < nearest:
                best, nearest = j, distance
        if best is not None:
            result[:, best] += adata.X.toarray()[:, i]
    return result


# -- the numbers


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("min_overlap", [1, 2, 60])
def test_overlaps_are_those_of_a_double_loop(seed, min_overlap):
    rng = np.random.default_rng(seed)
    adata, targets = cells(intervals(rng, 60), rng), intervals(rng, 50)
    aligned = align_peaks(adata, targets, min_overlap=min_overlap, min_share=0)
    assert aligned.X.nnz
    assert np.array_equal(aligned.X.toarray(), naive(adata, targets, min_overlap))
    assert aligned.var_names.tolist() == targets


@pytest.mark.parametrize("seed", range(4))
def test_centers_are_those_of_a_double_loop(seed):
    rng = np.random.default_rng(seed)
    adata, targets = cells(intervals(rng, 60), rng), intervals(rng, 50)
    aligned = align_peaks(adata, targets, how="center", min_share=0)
    assert aligned.X.nnz
    assert np.array_equal(aligned.X.toarray(), naive_center(adata, targets))
    assert (aligned.X.sum(1) <= adata.X.sum(1)).all()


def test_several_on_one_are_summed_and_one_on_several_counts_in_each():
    adata = AnnData(sp.csr_matrix([[1, 2, 4], [0, 0, 3]], dtype=np.float32))
    adata.var_names = ["chr1:100-200", "chr1:250-300", "chr1:390-420"]
    targets = ["chr1:0-301", "chr1:300-400", "chr1:400-500", "chr2:1-9"]
    assert align_peaks(adata, targets).X.toarray().tolist() == [[3, 0 + 4, 4, 0], [0, 3, 3, 0]]
    center = align_peaks(adata, targets, how="center").X.toarray()
    assert center.tolist() == [[3, 0, 4, 0], [0, 0, 3, 0]]


def test_neighbors_that_only_touch_do_not_overlap():
    adata = cells(["chr1:100-200", "chr1:900-901"])
    aligned = align_peaks(adata, ["chr1:0-100", "chr1:200-300", "chr1:900-901"])
    assert not aligned.X[:, :2].nnz
    assert np.array_equal(aligned.X[:, 2].toarray(), adata.X[:, 1].toarray())


@pytest.mark.parametrize("how", ["overlap", "center"])
def test_the_same_peaks_in_any_order_give_the_same_counts(mdata, how):
    atac = mdata["atac"]
    for order in (np.arange(200), np.random.default_rng(0).permutation(200)):
        aligned = align_peaks(atac, atac.var_names[order], how=how)
        assert aligned.var_names.equals(atac.var_names[order])
        assert (aligned.X != atac.X[:, order]).nnz == 0
        assert (aligned.var["start"].to_numpy() == atac.var["start"].to_numpy()[order]).all()


def test_there_and_back(mdata):
    """Halves of peaks have all counts of a peak; mapped back, their sum."""
    atac = mdata["atac"]
    var = atac.var
    middle = (var["start"] + var["end"]) // 2
    halves = [
        f"{c}:{a}-{b}"
        for c, s, m, e in zip(var["chrom"], var["start"], middle, var["end"], strict=True)
        for a, b in ((s, m), (m, e))
    ]
    there = align_peaks(atac, halves)
    assert np.array_equal(there.X.toarray(), atac.X.toarray().repeat(2, 1))
    back = align_peaks(there, atac)
    assert (back.X != 2 * atac.X).nnz == 0


@pytest.mark.parametrize("ours", ["chr{}:{}-{}", "chr{}-{}-{}", "{}_{}_{}", "CHR{}:{}-{}"])
@pytest.mark.parametrize("theirs", ["chr{}:{}-{}", "{}-{}-{}", "chr{}_{}_{}"])
def test_spellings_of_peaks_and_chromosomes(ours, theirs):
    places = [(1, 10, 20), (10, 10, 20), (2, 30, 40), ("X", 5, 9), ("M", 1, 3)]
    adata = cells([ours.format(*p) for p in places])
    targets = [theirs.format(*p) for p in reversed(places)]
    aligned = align_peaks(adata, targets)
    assert (aligned.X != adata.X[:, ::-1]).nnz == 0
    assert aligned.var_names.tolist() == targets
    chroms = [target.split(":")[0].split("_")[0].split("-")[0] for target in targets]
    assert aligned.var["chrom"].tolist() == chroms


def test_mitochondria_have_two_names():
    adata = cells(["chrM:1-9"])
    assert (align_peaks(adata, ["MT:1-9"]).X != adata.X).nnz == 0


# -- results


def test_cells_are_kept_and_features_are_new(unchanged):
    adata = cells(["chr2:10-20", "chr10:10-20", "chr1:10-20"])
    with unchanged(adata):
        aligned = align_peaks(adata, ["chr10:15-30", "chr2:15-30", "chr9:1-2"])
    assert aligned.obs.equals(adata.obs)
    assert np.array_equal(aligned.obsm["X_umap"], adata.obsm["X_umap"])
    assert aligned.obsm["frame"].equals(adata.obsm["frame"])
    assert (aligned.obsp["distances"] != adata.obsp["distances"]).nnz == 0
    assert aligned.uns["colors"] == {"a": [1, 2]}
    assert not layer_names(aligned) and not aligned.varm and aligned.raw is None
    assert aligned.var.columns.tolist() == ["chrom", "start", "end"]
    assert aligned.var.iloc[0].tolist() == ["chr10", 15, 30]
    assert aligned.var["chrom"].cat.categories.tolist() == ["chr2", "chr9", "chr10"]
    aligned.obsm["X_umap"][:] = 0  # copies: the input does not change
    aligned.obs["batch"] = "c"
    aligned.uns["colors"]["a"].append(3)
    assert adata.obsm["X_umap"].all() and adata.uns["colors"] == {"a": [1, 2]}
    assert set(adata.obs["batch"]) == {"a", "b"}


def test_results_can_be_written(tmp_path):
    aligned = align_peaks(cells(["chr1:1-9"]), ["chr1:1-9", "chr2:1-9"])
    aligned.write_h5ad(tmp_path / "aligned.h5ad")


def test_any_matrix_becomes_csr_of_its_dtype(mdata, as_matrix, unchanged):
    atac = mdata["atac"]
    atac.X = atac.X.astype(bool).astype(np.float32)
    shifted = shift(atac.var_names, 50)
    expected = align_peaks(atac, shifted).X
    atac.X = as_matrix(atac.X)
    with unchanged(atac):
        aligned = align_peaks(atac, shifted)
    found = aligned.X
    assert type(found) is sp.csr_matrix and found.has_sorted_indices
    dtype = atac.X.dtype
    assert found.dtype == (np.float32 if dtype == np.float16 else dtype)
    assert found.nnz == expected.nnz and found.data.all()
    assert np.array_equal(found.toarray(), expected.toarray())


def test_any_container_gives_the_same(mdata, as_container):
    atac = mdata["atac"]
    shifted = shift(atac.var_names, 50)
    aligned = align_peaks(as_container(atac), shifted)
    assert not aligned.isbacked and not aligned.is_view
    assert (aligned.X != align_peaks(atac, shifted).X).nnz == 0


def test_sums_that_do_not_fit_get_a_wider_integer():
    names, targets = ["chr1:0-5", "chr1:5-9"], ["chr1:0-9"]
    adata = AnnData(sp.csr_matrix(np.array([[200, 100], [1, 1]], np.uint8)))
    adata.var_names = names
    aligned = align_peaks(adata, targets)
    assert aligned.X.toarray().tolist() == [[300], [2]] and aligned.X.dtype.kind in "iu"
    adata.X = adata.X.astype(bool)
    assert align_peaks(adata, targets).X.toarray().tolist() == [[True], [True]]


def test_a_view_of_annotated_cells_is_copied():
    adata = cells(["chr1:1-9", "chr1:10-19"])
    view = adata[[2, 0]]
    aligned = align_peaks(view, ["chr1:1-9"])
    assert view.is_view and not aligned.is_view
    assert aligned.obs_names.tolist() == ["cell2", "cell0"]
    for values, expected in ((aligned.obsm["X_umap"], adata.obsm["X_umap"][[2, 0]]),):
        assert type(values) is np.ndarray and np.array_equal(values, expected)
    aligned.uns["colors"]["a"].append(3)
    aligned.obsm["X_umap"][:] = 0
    assert adata.uns["colors"] == {"a": [1, 2]} and adata.obsm["X_umap"].all()


def test_counts_of_a_layer(refuses):
    adata = cells(["chr1:1-9", "chr1:10-19"])
    adata.layers["double"] = 2 * adata.X
    adata.X = adata.X / 3
    targets = ["chr1:1-12"]
    with refuses(ValueError, "adata.X", "non-integer", "layer="):
        align_peaks(adata, targets)
    aligned = align_peaks(adata, targets, layer="double")
    assert np.array_equal(aligned.X.toarray(), adata.layers["double"].toarray().sum(1)[:, None])
    with refuses(KeyError, "'spliced'", "['double']"):
        align_peaks(adata, targets, layer="spliced")


# -- queries of a model


def shift(names, by) -> pd.Index:
    """The same peaks elsewhere, without `chr` and with other separators."""
    places = map(parse, names)
    return pd.Index([f"{c.removeprefix('chr')}_{s + by}_{e + by}" for c, s, e in places])


@pytest.mark.parametrize("kind", ["trained", "trained_atac", "AnnData", "Index", "Series", "array"])
def test_peaks_come_from_models_containers_and_names(request, mdata, kind):
    atac = mdata["atac"]
    names = atac.var_names
    others = {
        "AnnData": atac,
        "Index": names,
        "Series": pd.Series(names),
        "array": names.to_numpy(),
    }
    peaks = others[kind] if kind in others else request.getfixturevalue(kind)
    query = atac.copy()
    query.var_names = shift(names, 50)
    aligned = align_peaks(query, peaks)
    assert aligned.var_names.equals(names)
    assert (aligned.X != atac.X).nnz == 0


def test_other_peaks_are_a_query_in_one_line(trained, make_unseen, refuses):
    atac = make_unseen()["atac"]
    expected = trained.get_latent_representation(atac)
    query = atac.copy()
    query.var_names = shift(atac.var_names, 50)
    with refuses(ValueError, "peaks of the model"):
        trained.get_latent_representation(query)
    found = trained.get_latent_representation(align_peaks(query, trained))
    assert np.array_equal(found, expected)
    aligned = align_peaks(query, trained)
    scmomer.tl.embed(aligned, trained)
    assert np.array_equal(aligned.obsm["X_scmomer"], expected)


def test_a_registration_does_not_carry_over(mdata):
    atac = mdata["atac"]
    scmomer.pp.setup_anndata(atac)
    aligned = align_peaks(atac, atac.var_names[:100])
    assert not [key for key in aligned.uns if key.startswith("_scvi")]
    scmomer.pp.setup_anndata(aligned)
    assert len(scmomer.SCMOMER(aligned, size="small").spec.features["atac"]) == 100


# -- reports


def test_one_line_reports_how_many_match(caplog):
    adata = cells(["chr1:1-9", "chr1:10-19", "chr3:1-9", "chr1:500-600"])
    with caplog.at_level(logging.INFO, "scmomer"):
        align_peaks(adata, ["chr1:1-12", "chr1:800-900"])
    (record,) = caplog.records
    text = "2 of 4 peaks (50%) match 1 of 2 target peaks (50%); the rest are left out."
    assert record.getMessage() == text


def test_few_targets_with_peaks_warn(caplog):
    adata = cells(["chr1:1-9", "chr1:10-19"])
    targets = ["chr1:1-12", *(f"chr1:{i}-{i + 1}" for i in range(50, 59))]
    with pytest.warns(UserWarning, match=r"match 1 of 10 target peaks \(10%\).*unreliable"):
        align_peaks(adata, targets)


def test_the_former_name_of_center_warns():
    adata, targets = cells(["chr1:1-9"]), ["chr1:1-12"]
    with pytest.warns(FutureWarning, match="how='centre' is now called how='center'"):
        former = align_peaks(adata, targets, how="centre")
    assert np.array_equal(former.X.toarray(), align_peaks(adata, targets, how="center").X.toarray())


@pytest.mark.filterwarnings("ignore:.*unreliable")
@pytest.mark.parametrize("how", ["overlap", "center"])
def test_no_more_than_chance_warns(how):
    rng = np.random.default_rng(0)
    names = [f"chr1:{i}-{i + 600}" for i in rng.choice(50_000_000, 2000, replace=False)]
    others = [f"chr1:{i}-{i + 3000}" for i in rng.choice(50_000_000, 5000, replace=False)]
    with pytest.warns(
        UserWarning, match=r"match those of `peaks`.*chance.*shift by 1 Mb.*assembly"
    ):
        align_peaks(cells(names), others, how=how)


def test_targets_all_over_the_genome_do_not_warn(recwarn):
    names = [f"chr1:{i}-{i + 500}" for i in range(0, 5_000_000, 10_000)]
    align_peaks(cells(names), [f"chr1:{i}-{i + 5000}" for i in range(0, 6_000_000, 5000)])
    assert not [w for w in recwarn if "chance" in str(w.message)]


# -- errors


def test_another_assembly_is_refused(refuses):
    names = [f"chr1:{i}-{i + 500}" for i in range(0, 200_000, 2000)]
    moved = [f"chr1:{i + 800}-{i + 1300}" for i in range(0, 200_000, 2000)]
    moved[:3] = names[:3]
    parts = (
        "at least 10%",
        "3 of 100 (3.0%)",
        "shared chromosomes: 1",
        "assembly",
        "liftOver",
        "min_share",
    )
    with refuses(ValueError, *parts):
        align_peaks(cells(names), moved)
    with refuses(ValueError, "0 of 100", "lower min_share or min_overlap"):
        align_peaks(cells(names), names, min_overlap=501)
    with pytest.warns(UserWarning, match="3 of 100 peaks"):
        assert align_peaks(cells(names), moved, min_share=0.03).X.nnz


def test_no_chromosome_in_common_is_refused(refuses):
    with refuses(ValueError, "chromosomes", "'chr1', 'chr2'", "peaks has 'A01'", "species"):
        align_peaks(cells(["chr1:1-9", "chr2:1-9"]), ["A01:1-9"])


@pytest.mark.parametrize("where", ["adata.var_names", "peaks"])
@pytest.mark.parametrize(
    "bad", ["Gad1", "chr1:20-10", "chr1:10-10", "chr1:1", "chr1:1-99999999999999999999"]
)
def test_names_that_are_not_intervals_are_refused(refuses, where, bad):
    good = ["chr1:1-9", "chr1:20-30"]
    names = {"adata.var_names": good, "peaks": good}
    names[where] = [*good, bad]
    with refuses(ValueError, "chr1:1000-1500", "1 of 3", repr(bad), where):
        align_peaks(cells(names["adata.var_names"]), names["peaks"])


def test_repeated_names_are_refused(refuses):
    twice, once = ["chr1:1-9", "chr1:1-9"], ["chr1:1-9"]
    with refuses(ValueError, "adata.var_names, found 1", "chr1:1-9", "Drop"):
        align_peaks(cells(twice), once)
    with refuses(ValueError, "unique names in peaks, found 1", "chr1:1-9", "Drop"):
        align_peaks(cells(once), twice)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"how": "nearest"}, ("['overlap', 'center']", "'nearest'")),
        ({"min_overlap": 0}, ("min_overlap", "at least 1", "0")),
        ({"min_overlap": 0.5}, ("min_overlap", "whole number", "0.5")),
        ({"min_overlap": True}, ("min_overlap", "True")),
        ({"min_overlap": 2, "how": "center"}, ("min_overlap=1", "how='overlap'")),
        ({"min_share": 10}, ("min_share", "from 0 to 1", "10")),
        ({"min_share": np.nan}, ("min_share", "nan")),
    ],
)
def test_options_that_make_no_sense_are_refused(refuses, arguments, parts):
    with refuses(ValueError, *parts):
        align_peaks(cells(["chr1:1-9"]), ["chr1:1-9"], **arguments)


def test_other_objects_are_refused(mdata, trained_rna, refuses):
    atac = mdata["atac"]
    with refuses(TypeError, "adata to be an AnnData", "MuData", "mdata['atac']"):
        align_peaks(mdata, atac)
    with refuses(TypeError, "a sequence of names", "'cortex.scmomer'", "scmomer.load"):
        align_peaks(atac, "cortex.scmomer")
    with refuses(TypeError, "a sequence of names", "MuData"):
        align_peaks(atac, mdata)
    with refuses(ValueError, "a model with peaks", "['rna']"):
        align_peaks(atac, trained_rna)
    with refuses(ValueError, "peaks has no feature names"):
        align_peaks(atac, [])
    with refuses(ValueError, "features in adata", "(120, 0)"):
        align_peaks(atac[:, :0].copy(), atac)


def test_no_cells_are_no_error(mdata):
    aligned = align_peaks(mdata["atac"][:0].copy(), mdata["atac"])
    assert aligned.shape == (0, 200)
