"""Modalities of a MuData under other names than ours."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs
from scmomer.data._guess_modality import modality_named

USUAL = {
    "rna": ["rna", "RNA", "gex", "GEX", "Gene Expression", "gene_expression", "scRNA-seq"],
    "atac": ["atac", "ATAC", "peaks", "Peaks", "chromatin accessibility", "snATAC"],
    "protein": ["protein", "prot", "adt", "ADT", "Antibody Capture", "proteins"],
}


def renamed(mdata: MuData, **keys: str) -> MuData:
    """The same cells under other keys."""
    with keep_obs():
        return MuData({keys.get(m, m): a for m, a in mdata.mod.items()}, obs=mdata.obs)


@pytest.mark.parametrize(("modality", "name"), [(m, n) for m, ns in USUAL.items() for n in ns])
def test_usual_names(modality, name):
    assert modality_named(name) == modality


@pytest.mark.parametrize("name", ["hto", "Multiplexing Capture", "velocity", "gene_activity", ""])
def test_other_names(name):
    assert modality_named(name) is None


@pytest.mark.parametrize("rna", ["gex", "GEX", "Gene Expression"])
@pytest.mark.parametrize("atac", ["ATAC", "peaks"])
def test_a_query_under_usual_names_is_read_whole(trained, mdata, rna, atac):
    query = renamed(mdata, rna=rna, atac=atac)
    z = trained.get_latent_representation(mdata)
    np.testing.assert_array_equal(trained.get_latent_representation(query), z)
    scmomer.tl.translate_atac(query, trained)
    assert "scmomer" in query[atac].layers


def test_a_query_under_any_name_is_known_by_its_features(trained, mdata):
    query = renamed(mdata, rna="sample 1 a", atac="sample 1 b")
    z = trained.get_latent_representation(mdata)
    np.testing.assert_array_equal(trained.get_latent_representation(query), z)


@pytest.mark.parametrize("name", ["ADT", "Antibody Capture", "Prot"])
def test_set_up_finds_protein_in_any_case(make_mdata, name):
    mdata = renamed(make_mdata(n_proteins=10), protein=name)
    scmomer.pp.setup_mudata(mdata)
    model = scmomer.SCMOMER(mdata, size="small")
    assert model.spec.modality_keys == {"rna": "rna", "atac": "atac", "protein": name}


@pytest.mark.parametrize(
    ("name", "modality", "what"),
    [("x", "atac", "peaks"), ("surface", "protein", "proteins")],
)
def test_what_is_left_out_is_named_with_the_remedy(make_mdata, name, modality, what):
    mdata = renamed(make_mdata(n_proteins=10), **{modality: name})
    mdata[name].var["feature_types"] = "Peaks" if modality == "atac" else "Antibody Capture"
    with pytest.warns(
        UserWarning, match=rf"'{name}'.*not used.*{what}.*'{modality}_layer': '{name}'"
    ):
        scmomer.pp.setup_mudata(mdata)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        scmomer.pp.setup_mudata(mdata, modalities={modality: None})
        scmomer.pp.setup_mudata(mdata, modalities={f"{modality}_layer": name})


def test_too_few_names_are_answered_with_those_that_fit(mdata, refuses):
    odd = renamed(mdata, rna="sample", atac="fragments")
    with refuses(KeyError, "'rna_layer': 'sample'", "'atac_layer': 'fragments'"):
        scmomer.pp.setup_mudata(odd)
    scmomer.pp.setup_mudata(odd, modalities={"rna_layer": "sample", "atac_layer": "fragments"})


def test_two_keys_of_one_kind_are_asked_about(make_mdata, refuses):
    mdata = renamed(make_mdata(n_proteins=10), rna="gex", protein="GEX")
    with refuses(ValueError, "['gex', 'GEX']", "modalities={'rna_layer': 'gex'}"):
        scmomer.pp.setup_mudata(mdata)
    scmomer.pp.setup_mudata(mdata, modalities={"rna_layer": "gex", "protein_layer": "GEX"})


def test_one_key_for_two_modalities_is_refused(mdata, refuses):
    with refuses(ValueError, "a separate key", "'rna'"):
        scmomer.pp.setup_mudata(mdata, modalities={"rna": "rna", "atac": "rna"})


def test_other_genes_under_another_name_are_not_passed_over(trained, mdata):
    mdata["rna"].var_names = [f"other{i}" for i in range(60)]
    query = renamed(mdata, rna="cells")
    with pytest.warns(UserWarning, match=r"mdata\['cells'\] is not used.*genes.*align_genes"):
        trained.get_latent_representation(query)
