"""Zeros that mean "not measured", as MULTIVI and TOTALVI want them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

import scmomer


def without_counts(adata, cells) -> None:
    """Sets rows to zero."""
    X = sp.lil_matrix(adata.X)
    X[cells] = 0
    adata.X = X.tocsr()


def test_set_up_counts_such_cells_and_says_how_to_leave_them_out(mdata):
    without_counts(mdata["atac"], slice(0, 30))
    with pytest.warns(UserWarning, match=r"30 of 120 .*mdata\['atac'\].*drop_unmeasured\(mdata\)"):
        scmomer.pp.setup_mudata(mdata)
    mosaic = scmomer.pp.drop_unmeasured(mdata)
    assert mosaic["atac"].n_obs == 90 and mosaic["rna"].n_obs == 120 and mdata["atac"].n_obs == 120
    assert mosaic.obs_names.equals(mdata.obs_names)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        scmomer.pp.setup_mudata(mosaic)


@pytest.mark.parametrize("name", ["rna", "atac"])
def test_a_query_is_warned_of(trained, mdata, name):
    without_counts(mdata[name], slice(5, 15))
    with pytest.warns(UserWarning, match=rf"10 of 120 cells in mdata\['{name}'\]"):
        trained.get_latent_representation(mdata)
    other = {"rna": "atac", "atac": "rna"}[name]
    alone = trained.get_latent_representation(mdata[other])
    mosaic = scmomer.pp.drop_unmeasured(mdata)
    z = trained.get_latent_representation(mosaic)
    np.testing.assert_allclose(z[5:15], alone[5:15], atol=1e-5)


def test_an_anndata_loses_such_cells(trained, mdata):
    rna = mdata["rna"].copy()
    without_counts(rna, [0, 7])
    with pytest.warns(
        UserWarning, match=r"2 of 120 .*`adata = scmomer.pp.drop_unmeasured\(adata\)`"
    ):
        scmomer.tl.embed(rna, trained)
    kept = scmomer.pp.drop_unmeasured(rna)
    assert kept.n_obs == 118 and rna.n_obs == 120 and not kept.is_view


def test_counts_may_be_in_a_layer(mdata):
    rna = mdata["rna"]
    rna.layers["counts"] = rna.X.copy()
    without_counts(rna, slice(0, 3))
    rna.layers["counts"], rna.X = rna.X, rna.layers["counts"].astype(np.float32) / 2
    with pytest.warns(UserWarning, match=r"rna_layer='counts'"):
        scmomer.pp.setup_mudata(mdata, rna_layer="counts")
    kept = scmomer.pp.drop_unmeasured(mdata, rna_layer="counts")
    assert kept["rna"].n_obs == 117
    assert scmomer.pp.drop_unmeasured(rna, layer="counts").n_obs == 117


def test_cells_without_any_count_go(mdata):
    for adata in mdata.mod.values():
        without_counts(adata, slice(0, 4))
    mosaic = scmomer.pp.drop_unmeasured(mdata)
    assert mosaic.n_obs == 116 and mosaic.obs_names.equals(mdata.obs_names[4:])


def test_whole_cells_are_not_warned_of(trained, mdata):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trained.get_latent_representation(mdata)
