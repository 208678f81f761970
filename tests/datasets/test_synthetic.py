"""The synthetic data: shape, seed, signal and missing modalities."""

from __future__ import annotations

import resource

import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scmomer._compat import keep_obs
from scmomer.datasets import synthetic


def same(a, b) -> bool:
    """Whether two modalities have the same names and counts."""
    names = a.obs_names.equals(b.obs_names) and a.var_names.equals(b.var_names)
    return names and (a.X != b.X).nnz == 0


def residuals(counts: sparse.csr_matrix, groups: pd.Series) -> np.ndarray:
    """Share of each feature in a cell, centered within groups, dense ``(n_cells, n_features)``."""
    share = pd.DataFrame((counts / counts.sum(axis=1)).toarray())
    return (share - share.groupby(groups.to_numpy(), observed=True).transform("mean")).to_numpy()


@pytest.mark.parametrize(
    ("n_cells", "n_genes", "n_peaks"), [(400, 200, 600), (7, 3, 50), (5, 60, 4), (1, 1, 1)]
)
def test_shapes_and_counts(n_cells, n_genes, n_peaks):
    mdata = synthetic(n_cells, n_genes, n_peaks, n_types=3, n_batches=2)
    assert list(mdata.mod) == ["rna", "atac"]
    for name, n_vars in (("rna", n_genes), ("atac", n_peaks)):
        X = mdata[name].X
        assert X.shape == (n_cells, n_vars)
        assert isinstance(X, sparse.csr_matrix) and X.dtype == np.float32 and X.has_sorted_indices
        assert X.data.min() >= 1 and np.array_equal(X.data, np.rint(X.data))
        assert X.sum(axis=1).min() >= 1
        assert mdata[name].var_names.is_unique and mdata[name].obs_names.equals(mdata.obs_names)


def test_types_and_batches_are_balanced():
    obs = synthetic(103, n_types=5, n_batches=3).obs
    assert obs["cell_type"].value_counts().between(20, 21).all()
    assert obs["batch"].value_counts().between(34, 35).all()


def test_seed_decides_everything():
    one, again, other = synthetic(seed=1), synthetic(seed=1), synthetic(seed=2)
    assert all(same(one[name], again[name]) for name in one.mod)
    assert one.obs.equals(again.obs)
    assert not any(same(one[name], other[name]) for name in one.mod)


def test_one_modality_does_not_depend_on_the_size_of_the_other():
    small, large = synthetic(n_peaks=100), synthetic(n_peaks=1000, atac_depth=50)
    assert same(small["rna"], large["rna"])


def test_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()
    synthetic(20)
    assert np.array_equal(before, np.random.get_state()[1])


def test_peaks_are_in_genomic_order_and_do_not_overlap():
    var = synthetic(5, 50, 600, n_chroms=12)["atac"].var
    number = var["chrom"].str.removeprefix("chr").astype(int).to_numpy()
    assert np.array_equal(np.unique(number), np.arange(1, 13))
    assert (np.diff(number) >= 0).all()
    inside = np.diff(number) == 0
    assert (var["start"].to_numpy()[1:] > var["end"].to_numpy()[:-1])[inside].all()
    assert (var.groupby("chrom", observed=True)["start"].first() == 1000).all()
    assert (var["end"] > var["start"]).all()
    assert var.index.str.fullmatch(r"chr\d+:\d+-\d+").all()


def test_names_are_padded_to_sort():
    mdata = synthetic(3, 12_000, 10)
    assert synthetic(3)["rna"].var_names[0] == "Gene0001"
    assert mdata["rna"].var_names[-1] == "Gene12000"


def test_every_gene_has_its_peaks_on_one_chromosome():
    mdata = synthetic(5, 50, 600)
    var = mdata["atac"].var
    assert set(var["linked_gene"]) == set(mdata["rna"].var_names)
    assert (var.groupby("linked_gene", observed=True)["chrom"].nunique() == 1).all()
    assert (var["linked_gene"].value_counts() == 12).all()


@pytest.mark.parametrize("name", ["rna", "atac"])
def test_counts_follow_the_truth(name):
    """Without batch effect, the share of a feature in a cell has the documented expectation."""
    mdata = synthetic(2000, 40, 80, batch_effect=0)
    truth = mdata.uns["truth"]
    expected = mdata.obsm["programs"] @ truth[name]
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    X = mdata[name].X
    for cell_type in mdata.obs["cell_type"].cat.categories:
        rows = (mdata.obs["cell_type"] == cell_type).to_numpy()
        found = np.asarray(X[rows].sum(axis=0)).ravel() / X[rows].sum()
        # 500 cells x 300 counts over 80 peaks: a standard error of about 2 % per peak
        np.testing.assert_allclose(found, expected[rows].mean(axis=0), rtol=0.15, atol=2e-4)


def test_programs_of_a_cell_are_its_type_and_its_state():
    mdata = synthetic()
    names, shares = mdata.uns["truth"]["programs"], mdata.obsm["programs"]
    assert list(names[shares[:, :-1].argmax(axis=1)]) == list(mdata.obs["cell_type"])
    np.testing.assert_allclose(shares[:, -1], mdata.obs["state"])
    assert mdata.obs["state"].between(0, 0.5).all()


def test_markers_and_their_peaks_are_high_in_their_type():
    mdata = synthetic(1000, batch_effect=0)
    gene_marks = mdata["rna"].var["marker_of"].astype(object)
    peak_marks = gene_marks.loc[mdata["atac"].var["linked_gene"].astype(str)]
    for name, marks in (("rna", gene_marks), ("atac", peak_marks)):
        share = mdata[name].X / mdata[name].X.sum(axis=1)
        for cell_type in mdata.obs["cell_type"].cat.categories:
            rows = (mdata.obs["cell_type"] == cell_type).to_numpy()
            columns = (marks == cell_type).to_numpy()
            inside, outside = share.tocsr()[rows][:, columns], share.tocsr()[~rows][:, columns]
            assert inside.mean() > 3 * outside.mean(), (name, cell_type)


def test_links_carry_signal_within_a_type():
    """Within cell types, RNA of a gene correlates with its own peaks, not with those of other genes."""
    mdata = synthetic(3000, 20, 60, n_types=2, batch_effect=0)
    types = mdata.obs["cell_type"]
    rna, atac = residuals(mdata["rna"].X, types), residuals(mdata["atac"].X, types)
    marks = mdata["rna"].var["marker_of"].astype(str).to_numpy()
    state_genes = np.flatnonzero(marks == "state")
    linked = mdata["rna"].var_names.get_indexer(mdata["atac"].var["linked_gene"])
    own = np.isin(linked, state_genes)
    score = rna[:, state_genes].mean(axis=1)
    correlation = np.array([np.corrcoef(score, peak)[0, 1] for peak in atac.T])
    assert correlation[own].min() > 0.1
    assert correlation[~own].max() < correlation[own].min()


def test_batch_effect_is_there_only_when_asked():
    def distance(batch_effect: float, name: str) -> float:
        mdata = synthetic(1000, 50, 100, n_types=1, batch_effect=batch_effect)
        X, first = mdata[name].X, (mdata.obs["batch"] == "batch1").to_numpy()
        a, b = (np.asarray(part.sum(axis=0)).ravel() / part.sum() for part in (X[first], X[~first]))
        return float(np.abs(np.log(a / b)).mean())

    for name in ("rna", "atac"):
        assert distance(0, name) < 0.05
        assert distance(0.5, name) > 0.2


@pytest.mark.parametrize(
    ("missing", "n_rna", "n_atac", "n_both"),
    [
        ({"rna": 0.2, "atac": 0.3}, 80, 70, 50),
        ({"atac": 0.5}, 100, 50, 50),
        ({"rna": 0.6, "atac": 0.4}, 40, 60, 0),
        ({}, 100, 100, 100),
    ],
)
def test_mosaic(missing, n_rna, n_atac, n_both):
    whole, mosaic = synthetic(100), synthetic(100, missing=missing)
    assert (mosaic["rna"].n_obs, mosaic["atac"].n_obs) == (n_rna, n_atac)
    assert mosaic.obs_names.equals(whole.obs_names)
    has = {name: mosaic.obsm[name].ravel() for name in ("rna", "atac")}
    assert (has["rna"] & has["atac"]).sum() == n_both
    assert (has["rna"] | has["atac"]).all()
    for name, rows in has.items():
        assert list(mosaic[name].obs_names) == list(mosaic.obs_names[rows])
        assert (mosaic[name].X != whole[name].X[rows]).nnz == 0, "the hidden half is in the whole"
        assert mosaic[name].obs.equals(mosaic.obs[rows])


@pytest.mark.parametrize(
    "missing", [{"protein": 0.1}, {"rna": 1.0}, {"atac": -0.1}, {"rna": 0.6, "atac": 0.6}]
)
def test_missing_that_does_not_fit_is_refused(missing):
    with pytest.raises(ValueError, match="`missing`"):
        synthetic(10, missing=missing)


@pytest.mark.parametrize("name", ["n_cells", "n_peaks", "n_batches", "atac_depth"])
def test_sizes_must_be_positive(name):
    with pytest.raises(ValueError, match=f"Expected `{name}` to be positive, found 0"):
        synthetic(**{name: 0})


def test_survives_a_round_trip_to_disk(tmp_path):
    mdata = synthetic(30, missing={"atac": 0.3})
    mdata.write_h5mu(tmp_path / "synthetic.h5mu")
    with keep_obs():
        back = mudata.read_h5mu(tmp_path / "synthetic.h5mu")
    assert all(same(back[name], mdata[name]) for name in mdata.mod)
    assert list(back.uns["truth"]["programs"]) == list(mdata.uns["truth"]["programs"])


def test_chunks_do_not_show(monkeypatch):
    """Cells keep their totals and their order for any chunk size."""
    whole = synthetic(200)
    monkeypatch.setattr("scmomer.datasets._sampling.CHUNK", 100)  # less than one cell
    pieces = synthetic(200)
    for name in ("rna", "atac"):
        np.testing.assert_array_equal(whole[name].X.sum(axis=1), pieces[name].X.sum(axis=1))


@pytest.mark.slow
def test_wide_data_stay_sparse():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mdata = synthetic(10_000, 20_000, 200_000, rna_depth=2000, atac_depth=3000)
    assert mdata["atac"].shape == (10_000, 200_000)
    gibibytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    assert gibibytes < 2


def test_proteins_are_a_modality_of_their_own():
    plain, data = synthetic(100), synthetic(100, n_proteins=15, missing={"protein": 0.3})
    protein = data["protein"]
    assert protein.shape == (70, 15) and protein.var_names[14] == "Protein15"
    for name in ("rna", "atac"):
        assert (plain[name].X != data[name].X).nnz == 0, "proteins change nothing else"
    profiles = data.uns["truth"]["protein"]
    assert profiles.shape == (5, 15)
    np.testing.assert_allclose(profiles.sum(1), 1)
    expected = (data.obsm["programs"] @ profiles)[data.obsm["protein"].ravel()]
    observed = protein.X.toarray() / protein.X.sum(1)
    assert np.corrcoef(expected.ravel(), np.asarray(observed).ravel())[0, 1] > 0.9
    top = profiles.argmax(0)
    markers = protein.var["marker_of"].cat.codes.to_numpy()
    assert (top == markers).mean() > 0.5


def test_wrong_numbers_of_proteins_are_refused():
    with pytest.raises(ValueError, match="Expected `n_proteins` of at least 0, found -1"):
        synthetic(10, n_proteins=-1)
    with pytest.raises(ValueError, match="`missing` has 'protein'"):
        synthetic(10, missing={"protein": 0.1})


# -- coordinates of genes and links


def test_genes_span_their_peaks():
    mdata = synthetic(5, 50, 600)
    genes, peaks = mdata["rna"].var, mdata["atac"].var
    by_gene = peaks.groupby("linked_gene", observed=True)
    assert np.array_equal(genes["start"], by_gene["start"].min()[genes.index])
    assert np.array_equal(genes["end"], by_gene["end"].max()[genes.index])
    assert (genes["chrom"].astype(str) == by_gene["chrom"].first()[genes.index].astype(str)).all()
    assert set(genes["strand"]) == {"+", "-"}
    more = synthetic(5, 60, 4)["rna"].var  # most genes have no peak
    assert (more["end"] > more["start"]).all() and (more["start"] >= 1000).all()


def test_links_within_a_distance_are_random_genes_of_it():
    mdata, plain = (synthetic(50, 200, 2000, linked_within=w) for w in (100_000, None))
    genes, peaks = mdata["rna"].var, mdata["atac"].var
    tss = genes["start"].where(genes["strand"] == "+", genes["end"])
    linked = peaks["linked_gene"].astype(str)
    distance = (peaks["start"] + peaks["end"]).to_numpy() // 2 - tss[linked].to_numpy()
    assert (peaks["chrom"].astype(str) == genes["chrom"].astype(str)[linked].to_numpy()).all()
    far = np.abs(distance) > 100_000
    own = (linked == plain["atac"].var["linked_gene"].astype(str)).to_numpy()
    assert own[far].all() and far.mean() < 0.1, "a peak without a gene nearby keeps its own"
    # As far as any other gene within the distance: uniform.
    assert np.median(np.abs(distance[~far])) == pytest.approx(50_000, rel=0.15)
    assert same(mdata["rna"], plain["rna"]) and genes.equals(plain["rna"].var)
    assert peaks[["chrom", "start", "end"]].equals(plain["atac"].var[["chrom", "start", "end"]])


def test_shared_programs_divide_the_state():
    mdata = synthetic(500, n_states=5)
    names, shares = mdata.uns["truth"]["programs"], mdata.obsm["programs"]
    assert list(names[4:]) == [f"state{i}" for i in range(1, 6)] and shares.shape == (500, 9)
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_allclose(shares[:, 4:].sum(1), mdata.obs["state"])
    assert (shares[:, 4:].max(1) > 0.5 * mdata.obs["state"]).mean() > 0.7, "mostly to a few"
    assert mdata.uns["truth"]["rna"].shape == (9, 200)


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_a_share_of_genes_are_markers(share):
    marks = synthetic(5, 1000, marker_share=share)["rna"].var["marker_of"]
    assert marks.notna().mean() == pytest.approx(share, abs=0.01)


def test_options_of_links_are_checked():
    with pytest.raises(ValueError, match="`marker_share` of at most 1, found 2"):
        synthetic(10, marker_share=2)
    for name in ("linked_within", "n_states"):
        with pytest.raises(ValueError, match=f"`{name}` to be positive"):
            synthetic(10, **{name: 0})
