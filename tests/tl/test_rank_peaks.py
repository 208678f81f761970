"""``tl.rank_peaks``: differential accessibility of counts and of probabilities."""

from __future__ import annotations

from contextlib import nullcontext

import anndata
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData
from scipy import stats

from scmomer.data import _pseudobulk
from scmomer.tl import rank_peaks

PLANTED = {"A": range(0, 5), "B": range(5, 10), "C": range(10, 15)}
FIELDS = ("names", "scores", "logfoldchanges", "pvals", "pvals_adj")


def planted(n_cells: int = 300, probabilities: bool = False) -> AnnData:
    """Three groups with five specific peaks each, and 45 unspecific peaks."""
    rng = np.random.default_rng(0)
    group = np.array(list(PLANTED))[np.arange(n_cells) % 3]
    rate = np.full((n_cells, 60), 0.1)
    for name, peaks in PLANTED.items():
        rate[np.ix_(group == name, peaks)] = 0.5
    values = rng.beta(20 * rate, 20 * (1 - rate)) if probabilities else rng.poisson(rate)
    x = values.astype(np.float32) if probabilities else sp.csr_matrix(values, dtype=np.float32)
    adata = AnnData(x, obs={"group": group})
    adata.var_names = [f"chr1:{i}00-{i}50" for i in range(60)]
    return adata


@pytest.fixture(params=["counts", "probabilities"])
def adata(request) -> AnnData:
    """Measured or translated peaks."""
    return planted(probabilities=request.param == "probabilities")


def table(adata: AnnData, group: str, key: str = "rank_peaks"):
    return sc.get.rank_genes_groups_df(adata, group, key=key).set_index("names")


def rates(adata: AnnData, cells: np.ndarray) -> np.ndarray:
    """Share of open cells, or mean probability, in plain code."""
    x = adata.X.toarray() > 0 if sp.issparse(adata.X) else adata.X
    return x[cells].astype(np.float64).mean(axis=0)


# -- scores


def test_planted_peaks_come_first(adata):
    assert rank_peaks(adata, "group") is None
    for group, peaks in PLANTED.items():
        found = table(adata, group)
        assert set(found.index[:5]) == set(adata.var_names[list(peaks)])
        assert (found["pvals_adj"][:5] < 1e-4).all() and (found["logfoldchanges"][:5] > 1).all()
        assert (np.diff(found["scores"]) <= 0).all()


def test_p_values_of_peaks_without_difference_are_uniform():
    adata = planted(n_cells=3000)
    rank_peaks(adata, "group")
    p = np.concatenate([table(adata, g)["pvals"].loc[adata.var_names[15:]] for g in PLANTED])
    assert stats.kstest(p, "uniform").pvalue > 0.01


@pytest.mark.parametrize("reference", ["rest", "B"])
def test_scores_are_those_of_the_two_proportion_test(adata, reference):
    rank_peaks(adata, "group", reference=reference)
    group = adata.obs["group"].to_numpy()
    one, other = group == "A", group != "A" if reference == "rest" else group == reference
    n1, n0, p1, p0 = one.sum(), other.sum(), rates(adata, one), rates(adata, other)
    p = (n1 * p1 + n0 * p0) / (n1 + n0)
    z = (p1 - p0) / np.sqrt(p * (1 - p) * (1 / n1 + 1 / n0))
    found = table(adata, "A").loc[adata.var_names]
    np.testing.assert_allclose(found["scores"], z, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["pvals"], 2 * stats.norm.sf(np.abs(z)), rtol=1e-6)
    adjusted = stats.false_discovery_control(found["pvals"])
    np.testing.assert_allclose(found["pvals_adj"], adjusted)
    np.testing.assert_allclose(
        found["logfoldchanges"], np.log2((p1 + 1e-4) / (p0 + 1e-4)), rtol=1e-4, atol=1e-5
    )


def test_scores_square_to_the_chi_square_of_the_table():
    """An independent implementation: the 2 x 2 table of a peak, without continuity correction."""
    adata = planted()
    rank_peaks(adata, "group")
    opened = adata.X.toarray()[:, 0] > 0
    one = (adata.obs["group"] == "A").to_numpy()
    counts = [[(opened & c).sum(), (~opened & c).sum()] for c in (one, ~one)]
    chi = stats.chi2_contingency(counts, correction=False)
    found = table(adata, "A").loc[adata.var_names[0]]
    np.testing.assert_allclose(found["scores"] ** 2, chi.statistic, rtol=1e-5)
    np.testing.assert_allclose(found["pvals"], chi.pvalue, rtol=1e-6)


def test_peaks_that_never_or_always_open_score_0():
    adata = planted()
    x = adata.X.toarray()
    x[:, 20], x[:, 21] = 0, 3
    adata.X = sp.csr_matrix(x)
    rank_peaks(adata, "group")
    found = table(adata, "A").loc[adata.var_names[[20, 21]]]
    assert (found["scores"] == 0).all() and (found["pvals"] == 1).all()
    assert (found["logfoldchanges"] == 0).all()


def test_scores_of_one_group_against_another_are_opposite(adata):
    rank_peaks(adata, "group", groups=["A"], reference="B", key_added="ab")
    rank_peaks(adata, "group", groups=["B"], reference="A", key_added="ba")
    ab, ba = table(adata, "A", "ab"), table(adata, "B", "ba").loc[table(adata, "A", "ab").index]
    for column in ("scores", "logfoldchanges"):
        np.testing.assert_allclose(ab[column], -ba[column], rtol=1e-5, atol=1e-6)


# -- where values come from


def same(one: AnnData, other: AnnData) -> None:
    for field in FIELDS:
        first, second = (a.uns["rank_peaks"][field] for a in (one, other))
        assert first.dtype == second.dtype
        for group in first.dtype.names:
            if field == "names":
                assert (first[group] == second[group]).all()
            else:
                np.testing.assert_allclose(first[group], second[group], rtol=1e-6, atol=1e-12)


def test_the_kind_of_matrix_does_not_matter(as_matrix):
    binary, other = planted(), planted()
    binary.X = (binary.X > 0).astype(np.float32)
    other.X = as_matrix(binary.X)
    for adata in (binary, other):
        rank_peaks(adata, "group")
    same(binary, other)


def test_counts_are_binarized():
    counts, binary = planted(), planted()
    assert counts.X.max() > 1
    binary.X = (binary.X > 0).astype(np.float32)
    for adata in (counts, binary):
        rank_peaks(adata, "group")
    same(counts, binary)


def test_dense_matrices_are_read_in_blocks(adata, monkeypatch):
    whole = adata.copy()
    rank_peaks(whole, "group")
    monkeypatch.setattr(_pseudobulk, "_BLOCK", 7 * 60)
    adata.X = adata.X.toarray() if sp.issparse(adata.X) else adata.X
    rank_peaks(adata, "group")
    same(whole, adata)


def test_views_and_backed_files_are_ranked(as_container):
    adata = planted()
    container = as_container(adata)
    for data in (adata, container):
        with pytest.warns() if data.is_view else nullcontext():
            rank_peaks(data, "group")
    same(adata, container)


def test_a_layer_is_read(adata):
    expected = adata.copy()
    rank_peaks(expected, "group")
    adata.layers["scmomer"] = adata.X
    adata.X = sp.csr_matrix(adata.shape, dtype=np.float32)
    rank_peaks(adata, "group", layer="scmomer")
    same(expected, adata)
    assert adata.uns["rank_peaks"]["params"]["layer"] == "scmomer"


def test_data_are_left_as_they_were(adata, unchanged):
    adata.obs["other"] = np.arange(adata.n_obs) % 2  # no categories
    for method in ("proportions", "wilcoxon", "t-test", "logreg"):
        with unchanged(adata):
            rank_peaks(adata, "group", method=method)
    with unchanged(adata):
        rank_peaks(adata, "other")
    assert adata.uns["rank_peaks"]["names"].dtype.names == ("0", "1")


def test_stored_zeros_stay(adata):
    adata.X = sp.csr_matrix(adata.X)
    adata.X.data[:5] = 0
    for method in ("proportions", "wilcoxon"):
        rank_peaks(adata, "group", method=method)
        assert (adata.X.data == 0).sum() == 5


def test_a_copy_leaves_the_data_alone(adata):
    copied = rank_peaks(adata, "group", copy=True)
    assert not adata.uns and type(copied) is AnnData
    rank_peaks(adata, "group")
    same(copied, adata)


def test_cells_without_a_group_are_left_out(adata):
    expected = adata[adata.obs["group"] != "C"].copy()
    adata.obs["group"] = adata.obs["group"].replace("C", None).astype("category")
    for data in (expected, adata):
        rank_peaks(data, "group")
    assert adata.uns["rank_peaks"]["names"].dtype.names == ("A", "B")
    same(expected, adata)


# -- containers


def test_a_mudata_is_ranked_in_its_atac(make_mdata, unchanged):
    mdata = make_mdata()
    alone = mdata["atac"].copy()
    with unchanged(mdata):
        assert rank_peaks(mdata, "cell_type") is None
    rank_peaks(alone, "cell_type")
    same(alone, mdata["atac"])
    assert "rank_peaks" not in mdata.uns and "rank_peaks" not in mdata["rna"].uns


def test_columns_are_looked_up_in_the_mudata_then_in_the_modality(make_mdata):
    mdata = make_mdata(missing={"rna": 0.3, "atac": 0.3})
    expected = mdata["atac"].copy()
    rank_peaks(expected, "cell_type")
    del mdata.obs["cell_type"]
    rank_peaks(mdata, "cell_type")
    same(expected, mdata["atac"])
    column = mdata["atac"].obs.pop("cell_type")
    mdata.obs["cell_type"] = column.reindex(mdata.obs_names)
    rank_peaks(mdata, "cell_type")
    same(expected, mdata["atac"])


def test_a_copy_of_a_mudata(mdata):
    copied = rank_peaks(mdata, "cell_type", copy=True)
    assert type(copied) is MuData and "rank_peaks" in copied["atac"].uns
    assert "rank_peaks" not in mdata["atac"].uns


def test_translations_are_ranked_alike(trained, mdata):
    from scmomer.tl import translate_atac

    translated = translate_atac(mdata["rna"], trained)
    rank_peaks(translated, "cell_type")
    translate_atac(mdata, trained)
    rank_peaks(mdata, "cell_type", layer="scmomer", key_added="translated")
    names = translated.uns["rank_peaks"]["names"]
    scores = translated.uns["rank_peaks"]["scores"]
    written = mdata["atac"].uns["translated"]
    for group in names.dtype.names:
        np.testing.assert_allclose(scores[group], written["scores"][group], atol=1e-4)


# -- scanpy


def test_the_structure_is_scanpys(adata, tmp_path):
    rank_peaks(adata, "group")
    sc.tl.rank_genes_groups(adata, "group", method="t-test")
    ours, scanpys = adata.uns["rank_peaks"], adata.uns["rank_genes_groups"]
    assert set(ours) == set(scanpys) and set(ours["params"]) == set(scanpys["params"])
    for field in FIELDS:
        assert type(ours[field]) is type(scanpys[field])
        assert ours[field].dtype == scanpys[field].dtype
    adata.write_h5ad(tmp_path / "ranked.h5ad")
    same(adata, anndata.read_h5ad(tmp_path / "ranked.h5ad"))


def test_scanpy_draws_the_result(adata):
    import matplotlib.pyplot as plt

    rank_peaks(adata, "group", groups=["A", "C"])
    sc.pl.rank_genes_groups(adata, key="rank_peaks", show=False)
    titles = {ax.get_title() for ax in plt.gcf().axes}
    plt.close("all")
    assert titles == {"A vs. rest", "C vs. rest"}


def test_wilcoxon_on_open_and_closed_is_the_two_proportion_test():
    """With ties corrected, up to (n - 1) / n in the variance."""
    adata = planted()
    rank_peaks(adata, "group")
    rank_peaks(adata, "group", method="wilcoxon", key_added="w")
    for group in PLANTED:
        z, w = table(adata, group), table(adata, group, "w").loc[table(adata, group).index]
        expected = z["scores"] * np.sqrt((adata.n_obs - 1) / adata.n_obs)
        np.testing.assert_allclose(w["scores"], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(w["logfoldchanges"], z["logfoldchanges"], rtol=1e-5)


@pytest.mark.parametrize("method", ["wilcoxon", "t-test", "t-test_overestim_var", "logreg"])
@pytest.mark.parametrize("reference", ["rest", "C"])
def test_other_methods_are_scanpys(method, reference, adata):
    rank_peaks(adata, "group", method=method, reference=reference)
    x = (adata.X > 0).astype(np.float32) if sp.issparse(adata.X) else adata.X
    expected = AnnData(x, obs=adata.obs.copy(), var=adata.var.copy())
    options = {"tie_correct": True} if method == "wilcoxon" else {}
    sc.tl.rank_genes_groups(expected, "group", method=method, reference=reference, **options)
    found, scanpys = adata.uns["rank_peaks"], expected.uns["rank_genes_groups"]
    assert set(found) == set(scanpys)
    for field in set(found) - {"params", "logfoldchanges"}:
        assert found[field].dtype == scanpys[field].dtype
        assert (found[field] == scanpys[field]).all()
    for key in ("groupby", "reference", "method"):
        assert found["params"][key] == scanpys["params"][key]
    assert table(adata, "A").index[:5].isin(adata.var_names[:5]).all()


def test_other_methods_take_other_scales(refuses):
    adata = planted()
    adata.X = adata.X * 1.5
    rank_peaks(adata, "group", method="t-test")
    expected = adata.copy()
    sc.tl.rank_genes_groups(expected, "group", method="t-test", key_added="rank_peaks")
    same(expected, adata)
    with refuses(ValueError, "counts or probabilities in X", "fractions up to", "layer="):
        rank_peaks(adata, "group")


def test_scanpys_advice_on_counts_is_not_given(capsys):
    rank_peaks(planted(), "group", method="t-test")
    assert "logarithmize" not in "".join(capsys.readouterr())


# -- errors


def test_unknown_columns_layers_and_modalities_are_refused(mdata, refuses):
    with refuses(KeyError, "'nope'", "data.obs has", "data['atac'].obs has", "'cell_type'"):
        rank_peaks(mdata, "nope")
    with refuses(KeyError, "'nope'", "data.obs has ['group']"):
        rank_peaks(planted(), "nope")
    with refuses(KeyError, "'nope'", "[]"):
        rank_peaks(planted(), "group", layer="nope")
    with refuses(KeyError, "'atac'", "['rna']"):
        rank_peaks(MuData({"rna": mdata["rna"]}), "cell_type")
    with refuses(TypeError, "an AnnData or a MuData", "list"):
        rank_peaks([1], "group")
    with refuses(KeyError, "no matrix in X"):
        rank_peaks(AnnData(obs=planted().obs, var=planted().var), "group")


def test_unknown_groups_and_methods_are_refused(refuses):
    adata = planted()
    with refuses(ValueError, "['A', 'B', 'C']", "['D']"):
        rank_peaks(adata, "group", groups=["A", "D"])
    with refuses(ValueError, "['A', 'B', 'C']", "['D']"):
        rank_peaks(adata, "group", reference="D")
    with refuses(ValueError, "'all' or a list", "'A'", "['A']"):
        rank_peaks(adata, "group", groups="A")
    with refuses(ValueError, "'wilcoxon'", "'nope'"):
        rank_peaks(adata, "group", method="nope")
    for groups in ([], ["A"]):
        with refuses(ValueError, "other than the reference 'A'"):
            rank_peaks(adata, "group", groups=groups, reference="A")
    assert not adata.uns


def test_groups_that_cannot_be_compared_are_refused(refuses):
    adata = planted()
    adata.obs["one"] = "A"
    with refuses(ValueError, "2 groups in 'one'", "['A']"):
        rank_peaks(adata, "one")
    adata.obs["none"] = np.full(adata.n_obs, np.nan)
    with refuses(ValueError, "2 groups in 'none'", "[]"):
        rank_peaks(adata, "none")
    adata.obs["single"] = ["S", *adata.obs["group"][1:]]
    with refuses(ValueError, "2 cells", "{'S': 1}", "groups="):
        rank_peaks(adata, "single")
    rank_peaks(adata, "single", groups=["A", "B"])  # one among the rest


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix, sp.csc_matrix])
@pytest.mark.parametrize("method", ["proportions", "t-test"])
def test_impossible_values_are_refused(convert, method, refuses):
    adata = planted(probabilities=True)
    x = adata.X.copy()
    for bad in (np.nan, np.inf):
        broken = x.copy()
        broken[:, [7, 9]] = bad
        adata.layers["bad"] = convert(broken)
        with refuses(ValueError, "layers['bad']", "2 of 60 peaks", "column 7", "leave them out"):
            rank_peaks(adata, "group", layer="bad", method=method)
    x[3, 4] = -0.5
    adata.X = convert(x)
    with refuses(ValueError, "counts or probabilities in X", "-0.5"):
        rank_peaks(adata, "group", method=method)
    adata.layers["text"] = np.full(adata.shape, "a")
    with refuses(TypeError, "numbers in layers['text']"):
        rank_peaks(adata, "group", layer="text")
    assert not adata.uns
