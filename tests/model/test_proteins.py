"""Models with surface protein: beside RNA, as a third modality, and in mosaics."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs
from scmomer.datasets import synthetic

SIZES = {"n_cells": 300, "n_genes": 80, "n_peaks": 200, "n_proteins": 12, "seed": 3}
OPTIONS = {"n_latent": 16, "rna_encoder": "mlp", "atac_encoder": "mlp", "bridge_hidden": 32}
OPTIONS |= {"bridge_n_heads": 1}
EPOCHS = {"rna": 2, "protein": 10, "fusion": 10, "bridge": 40}


def pick(mdata: MuData, **cells) -> MuData:
    """Return a MuData of some modalities, each with some of its cells."""
    parts = {m: mdata[m][which].copy() for m, which in cells.items()}
    with keep_obs():
        found = MuData(parts)
    found.obs["batch"] = mdata.obs["batch"].reindex(found.obs_names).astype(str)
    return found


def fit(mdata: MuData, seed, **options) -> scmomer.SCMOMER:
    with seed(0):
        scmomer.pp.setup_mudata(mdata, batch_key="batch")
        model = scmomer.SCMOMER(mdata, size="small", **{**OPTIONS, **options})
        epochs = {
            stage: n
            for stage, n in EPOCHS.items()
            if stage in (*model.spec.modalities, "fusion", "bridge")
        }
        model.train(epochs, enable_progress_bar=False)
    return model


def pearson(found: np.ndarray, mdata: MuData) -> float:
    """Mean over proteins of the correlation of logs across cells."""
    truth = np.log1p(mdata["protein"].X.toarray())
    pairs = zip(np.log1p(found).T, truth.T, strict=True)
    return float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs]))


@pytest.fixture(scope="module")
def whole() -> MuData:
    """Cells with all three modalities; the last hundred are for queries."""
    return synthetic(**SIZES)


@pytest.fixture(scope="module")
def query(whole) -> MuData:
    """Cells that no model sees."""
    last = slice(200, 300)
    return pick(whole, rna=last, atac=last, protein=last)


@pytest.fixture(scope="module")
def of_three(whole, seed) -> scmomer.SCMOMER:
    """Trained on a multiome beside CITE-seq: no cell has ATAC and protein."""
    mdata = pick(whole, rna=slice(0, 200), atac=slice(0, 110), protein=slice(110, 200))
    return fit(mdata, seed)


@pytest.fixture(scope="module")
def of_two(whole, seed) -> scmomer.SCMOMER:
    """CITE-seq in which some cells lack RNA and others protein."""
    return fit(pick(whole, rna=slice(0, 180), protein=slice(30, 200)), seed)


def test_protein_from_rna(of_two, query):
    assert of_two.stages_ == ("rna", "protein", "fusion", "bridge")
    found = of_two.get_translated(query["rna"], "protein")
    assert found.shape == (100, 12) and found.dtype == np.float32 and found.min() >= 0
    assert pearson(found, query) > 0.6
    assert found.mean() == pytest.approx(query["protein"].X.mean(), rel=0.3)  # counts
    wrong = np.random.default_rng(0).permutation(100)
    assert pearson(found[wrong], query) < 0.3


def test_rna_from_protein_and_embeddings_of_either(of_two, query):
    rna = of_two.get_translated(query["protein"], "rna")
    assert rna.shape == (100, 80) and np.isfinite(rna).all()
    types = query["rna"].obs["cell_type"]
    for data in (query["rna"], query["protein"], pick_two(query)):
        z = of_two.get_latent_representation(data)
        assert scmomer.metrics.clustering_agreement(z, types)["ari"] > 0.6


def pick_two(mdata: MuData) -> MuData:
    """RNA and protein of all cells."""
    return pick(mdata, rna=slice(None), protein=slice(None))


def test_a_chain_of_pairs_is_enough(of_three, query):
    """From ATAC to protein, which were never measured in one cell, by way of RNA."""
    assert of_three.stages_ == ("rna", "atac", "protein", "fusion", "bridge")
    assert not of_three.module.has_bridge("atac", "protein") and of_three.module.has_bridge(
        "rna", "protein"
    )
    direct, chain = (of_three.get_translated(query[m], "protein") for m in ("rna", "atac"))
    assert pearson(direct, query) > 0.5 and pearson(chain, query) > 0.3
    values, apart = of_three.get_translated(query["rna"], "protein", uncertainty=True)
    assert np.array_equal(values, direct) and (apart > 0).all()
    assert not of_three.get_translated(query["atac"], "protein", uncertainty=True)[1].any()


def test_what_no_bridge_says_is_not_a_number(of_three, query):
    z = of_three.get_latent_representation(query["atac"], modality="protein")
    assert np.isnan(z).all()
    for data in (query["rna"], query["atac"], query["protein"], query):
        assert np.isfinite(of_three.get_latent_representation(data)).all()
    assert np.isfinite(of_three.get_latent_representation(query["rna"], modality="protein")).all()


def test_a_mosaic_of_three_gives_each_cell_what_it_has(of_three, whole, query, same):
    mosaic = pick(query, rna=slice(0, 70), atac=slice(40, 90), protein=slice(20, 100))
    z = of_three.get_latent_representation(mosaic)
    for m, cells in (("rna", slice(0, 20)), ("protein", slice(90, 100))):
        alone = of_three.get_latent_representation(query[m][cells].copy())
        same(z[cells], alone)
    together = of_three.get_translated(mosaic, "protein")
    same(together[:20], of_three.get_translated(query["rna"][:20].copy(), "protein"), 1e-3)


def test_depth_of_protein_can_be_told(of_two, query):
    shallow, deep = (of_two.get_translated(query["rna"], "protein", depth=d) for d in (500, 2000))
    assert shallow.sum(1).mean() == pytest.approx(500, rel=0.3)
    assert deep.sum(1).mean() == pytest.approx(2000, rel=0.3)


def test_saved_and_loaded(of_three, query, tmp_path):
    of_three.save(tmp_path / "three.scmomer")
    again = scmomer.load(tmp_path / "three.scmomer")
    assert again.spec.modalities == ("rna", "atac", "protein")
    for m in ("rna", "atac", "protein"):
        expected = of_three.get_latent_representation(query[m])
        assert np.array_equal(again.get_latent_representation(query[m]), expected)
    assert not again.module.has_bridge("atac", "protein")


def test_protein_is_found_under_its_usual_names(whole):
    for name in ("protein", "prot", "adt"):
        mdata = MuData({"rna": whole["rna"].copy(), name: whole["protein"].copy()})
        scmomer.pp.setup_mudata(mdata)
        model = scmomer.SCMOMER(mdata, size="small", **OPTIONS)
        assert model.spec.modality_keys == {"rna": "rna", "protein": name}


def test_a_modality_can_be_left_out(whole):
    mdata = whole.copy()
    scmomer.pp.setup_mudata(mdata, modalities={"protein": None})
    assert scmomer.SCMOMER(mdata, size="small", **OPTIONS).spec.modalities == ("rna", "atac")


def test_antibody_capture_is_protein(whole, of_two):
    adata = whole["protein"].copy()
    adata.var["feature_types"] = "Antibody Capture"
    scmomer.pp.setup_anndata(adata)
    assert scmomer.SCMOMER(adata, size="small").spec.modalities == ("protein",)
    adata.var_names = [f"x{name}" for name in adata.var_names]
    with pytest.raises(ValueError, match="proteins of the model.*rename them"):
        of_two.get_latent_representation(adata)


def test_proteins_that_are_not_counts_are_refused(whole, refuses):
    adata = whole["protein"].copy()
    adata.X = adata.X.copy() / 3
    with refuses(ValueError, "raw counts", "non-integer", "mdata['protein']", "Protein"):
        scmomer.pp.setup_mudata(MuData({"rna": whole["rna"], "protein": adata}))


def test_a_modality_that_no_cell_shares_is_refused(whole, refuses):
    apart = pick(whole, rna=slice(0, 100), atac=slice(0, 100), protein=slice(200, 300))
    with refuses(ValueError, "2 cells", "'protein' and 'rna' or 'atac'", "0 of 200", "pair_cells"):
        scmomer.pp.setup_mudata(apart)


def test_a_model_without_protein_says_so(trained, query, refuses):
    with refuses(ValueError, "['rna', 'atac']", "'protein'"):
        trained.get_translated(query["rna"], "protein")


def test_dense_and_sparse_counts_are_the_same(of_two, query):
    dense = query["protein"].copy()
    dense.X = dense.X.toarray()
    expected = of_two.get_latent_representation(query["protein"])
    assert np.array_equal(of_two.get_latent_representation(dense), expected)
    order = np.random.default_rng(0).permutation(12)
    shuffled = anndata.AnnData(dense.X[:, order], var=dense.var.iloc[order], obs=dense.obs)
    np.testing.assert_allclose(of_two.get_latent_representation(shuffled), expected, atol=1e-5)


def test_cells_without_any_modality_are_refused(whole, refuses):
    some = pick(whole, rna=slice(0, 100), atac=slice(50, 150), protein=slice(140, 160))
    with refuses(
        ValueError, "['rna', 'atac']", "10 of 160", "'cell00151'", "Leave them out: `mdata = mdata["
    ):
        scmomer.pp.setup_mudata(some, modalities={"protein": None})
