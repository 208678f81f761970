"""One AnnData that holds several modalities."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

import scmomer

TYPES = {"rna": "Gene Expression", "atac": "Peaks", "protein": "Antibody Capture"}


def side_by_side(mdata: MuData, types: dict[str, str] | None = None) -> AnnData:
    """All modalities in one matrix, with feature types if given."""
    parts = list(mdata.mod.values())
    both = anndata.concat(parts, axis=1, merge="same")
    both.obs = mdata.obs.copy()
    if types:
        both.var["feature_types"] = np.repeat(
            [types[m] for m in mdata.mod], [p.n_vars for p in parts]
        )
    return both


@pytest.fixture(params=["feature_types", "names"])
def both(request, mdata) -> AnnData:
    """RNA and ATAC in one matrix, distinguished by a column or by names alone."""
    return side_by_side(mdata, TYPES if request.param == "feature_types" else None)


def test_it_is_embedded_as_the_paired_cells_that_it_holds(trained, mdata, both):
    scmomer.tl.embed(both, trained)
    np.testing.assert_allclose(
        both.obsm["X_scmomer"], trained.get_latent_representation(mdata), atol=1e-6
    )


def test_features_may_be_in_any_order(trained, mdata, both):
    mixed = both[:, np.random.default_rng(0).permutation(both.n_vars)].copy()
    np.testing.assert_allclose(
        trained.get_latent_representation(mixed),
        trained.get_latent_representation(mdata),
        atol=1e-6,
    )


def test_a_modality_is_translated_from_the_other(trained, mdata, both):
    for verb, source in (("translate_atac", "rna"), ("translate_rna", "atac")):
        found = getattr(scmomer.tl, verb)(both, trained)
        expected = getattr(scmomer.tl, verb)(mdata[source], trained)
        np.testing.assert_allclose(found.X, expected.X, atol=1e-6)


def test_annotation_and_mapping_read_both(trained, mdata, both, seed):
    query = both[:40].copy()
    scmomer.tl.map_to_reference(query, both, trained, labels_key="cell_type")
    paired = mdata[:40].copy()
    scmomer.tl.map_to_reference(paired, mdata, trained, labels_key="cell_type")
    assert (query.obs["reference_label"] == paired.obs["reference_label"]).all()


def test_a_file_on_disk_is_read_alike(trained, mdata, both, tmp_path):
    both.write_h5ad(tmp_path / "both.h5ad")
    backed = anndata.read_h5ad(tmp_path / "both.h5ad", backed="r")
    np.testing.assert_allclose(
        trained.get_latent_representation(backed),
        trained.get_latent_representation(mdata),
        atol=1e-6,
    )


def test_set_up_names_both_parts_and_the_line_that_splits_them(mdata, both, refuses):
    for modality in (None,):
        with refuses(ValueError, "60 genes and 200 peaks", "scmomer.pp.split_modalities(adata)"):
            scmomer.pp.setup_anndata(both, modality=modality)
    split = scmomer.pp.split_modalities(both)
    scmomer.pp.setup_mudata(split)
    for name in ("rna", "atac"):
        assert split[name].var_names.equals(mdata[name].var_names)
        assert (split[name].X != mdata[name].X).nnz == 0
    assert split.obs["cell_type"].equals(mdata.obs["cell_type"])


@pytest.mark.parametrize(
    "call",
    [
        lambda both, mdata: scmomer.pp.align_genes(both, mdata["rna"]),
        lambda both, mdata: scmomer.pp.align_peaks(both, mdata["atac"]),
        lambda both, mdata: scmomer.pp.bin_genome(both, 5000),
        lambda both, mdata: scmomer.pp.pair_cells(both, mdata["atac"], on="labels", labels_key="x"),
        lambda both, mdata: scmomer.tl.rank_peaks(both, "cell_type"),
    ],
)
def test_verbs_of_one_modality_say_how_to_split(both, mdata, refuses, call):
    with refuses(ValueError, "60 genes and 200 peaks", "scmomer.pp.split_modalities("):
        call(both, mdata)


def test_cite_seq_in_one_matrix(trained_protein, make_mdata):
    mdata = make_mdata(n_proteins=10)
    del mdata.mod["atac"]
    mdata.update()
    z = trained_protein.get_latent_representation(mdata)
    for types in (TYPES, None):
        both = side_by_side(mdata, types)
        np.testing.assert_allclose(trained_protein.get_latent_representation(both), z, atol=1e-6)


def test_three_modalities_and_guides(make_mdata, refuses):
    mdata = make_mdata(n_proteins=10)
    guides = AnnData(
        sp.csr_matrix(np.ones((mdata.n_obs, 3), np.float32)),
        obs=pd.DataFrame(index=mdata.obs_names),
        var=pd.DataFrame(index=["g1", "g2", "g3"]),
    )
    everything = anndata.concat([*mdata.mod.values(), guides], axis=1)
    sizes = [*(a.n_vars for a in mdata.mod.values()), 3]
    everything.var["feature_types"] = np.repeat([*TYPES.values(), "CRISPR Guide Capture"], sizes)
    split = scmomer.pp.split_modalities(everything)
    assert list(split.mod) == ["rna", "atac", "protein"]
    assert split["protein"].n_vars == 10
    genes = everything[:, [*range(60), *range(270, 273)]].copy()
    with refuses(ValueError, "60 genes and 3 of other types", "split_modalities(adata)['rna']"):
        scmomer.pp.setup_anndata(genes)
    scmomer.pp.setup_anndata(scmomer.pp.split_modalities(genes)["rna"])


def test_padded_cells_of_a_multiome_are_not_measured(trained, mdata, both):
    """As ``scvi.data.organize_multiome_anndatas`` makes them: zeros for what is missing."""
    X = both.X.tolil()
    X[:30, 60:] = 0  # RNA alone
    X[30:50, :60] = 0  # ATAC alone
    both.X = X.tocsr()
    z = trained.get_latent_representation(both)
    rna = trained.get_latent_representation(mdata["rna"])
    atac = trained.get_latent_representation(mdata["atac"])
    np.testing.assert_allclose(z[:30], rna[:30], atol=1e-5)
    np.testing.assert_allclose(z[30:50], atac[30:50], atol=1e-5)
    split = scmomer.pp.split_modalities(both)
    assert split["rna"].n_obs == 100 and split["atac"].n_obs == 90 and split.n_obs == 120
    assert split.obs_names.equals(both.obs_names)


def test_a_model_of_one_modality_takes_its_part(trained_rna, trained_atac, mdata, both):
    for model, name in ((trained_rna, "rna"), (trained_atac, "atac")):
        np.testing.assert_allclose(
            model.get_latent_representation(both),
            model.get_latent_representation(mdata[name]),
            atol=1e-6,
        )


def test_a_gene_and_a_protein_may_share_a_name(trained_protein, make_mdata):
    """RNA with genes that are called like proteins is RNA."""
    rna = make_mdata()["rna"].copy()
    names = rna.var_names.tolist()
    proteins = trained_protein.spec.features["protein"]
    names[:10] = proteins.tolist()
    rna.var_names = names
    genes = trained_protein.spec.features["rna"]
    assert not genes.isin(proteins).any()
    rna.var["feature_types"] = "Gene Expression"
    z = trained_protein.get_latent_representation(rna)
    kept = trained_protein.get_latent_representation(rna[:, 10:].copy())
    np.testing.assert_allclose(z, kept, atol=1e-6)


def test_pretraining_asks_for_the_modality(make_model, both, mdata, refuses):
    model = make_model(mdata)
    with refuses(ValueError, "['rna', 'atac']", "modality='rna'"):
        model.pretrain(both, max_epochs=1, enable_progress_bar=False)
    model.pretrain(both, modality="rna", max_epochs=1, enable_progress_bar=False)
    assert model.stages_ == ("rna",)
