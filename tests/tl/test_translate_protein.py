"""``tl.translate_protein``, and what ``tl.embed`` writes of proteins."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
from mudata import MuData

from scmomer import tl
from scmomer.datasets import synthetic

SIZES = {"n_cells": 120, "n_genes": 60, "n_peaks": 200}


@pytest.fixture
def cells() -> MuData:
    """The training cells, with RNA and protein."""
    mdata = synthetic(**SIZES, n_proteins=10)
    return MuData({m: mdata[m] for m in ("rna", "protein")})


def test_rna_gives_a_new_anndata_of_expected_counts(trained_protein, cells):
    rna = cells["rna"]
    found = tl.translate_protein(rna, trained_protein, uncertainty=True)
    assert found.shape == (120, 10) and list(found.var_names) == list(cells["protein"].var_names)
    assert found.X.dtype == np.float32 and (found.X > 0).all()
    assert np.array_equal(found.layers["scmomer"], found.X)
    assert found.layers["scmomer_std"].shape == (120, 10)
    assert found.obs.equals(rna.obs)
    entry = found.uns["scmomer"]["translate_protein"]
    assert entry["model_id"] == trained_protein.id and entry["params"]["depth"] == "predicted"


def test_a_mudata_gets_a_layer_of_its_own_modality(trained_protein, cells):
    expected = tl.translate_protein(cells["rna"], trained_protein).X
    for name in ("protein", "adt", "prot"):
        mdata = MuData({"rna": cells["rna"].copy(), name: cells["protein"].copy()})
        assert tl.translate_protein(mdata, trained_protein) is None
        np.testing.assert_allclose(mdata[name].layers["scmomer"], expected, rtol=1e-5)


def test_some_proteins_at_a_depth(trained_protein, cells):
    names = list(cells["protein"].var_names[[3, 1]])
    found = tl.translate_protein(cells["rna"], trained_protein, features=names, depth=500)
    deeper = tl.translate_protein(cells["rna"], trained_protein, features=names, depth=2000)
    assert list(found.var_names) == names and (deeper.X > found.X).all()


def test_straight_to_disk(trained_protein, cells, tmp_path):
    expected = tl.translate_protein(cells["rna"], trained_protein)
    found = tl.translate_protein(cells["rna"], trained_protein, path=tmp_path / "x.h5ad")
    assert found.isbacked
    np.testing.assert_allclose(anndata.read_h5ad(tmp_path / "x.h5ad").X, expected.X, rtol=1e-6)


def test_embed_writes_each_modality(trained_protein, cells):
    tl.embed(cells, trained_protein)
    keys = {key for key in cells.obsm if key.startswith("X_scmomer")}
    assert keys == {"X_scmomer", "X_scmomer_rna", "X_scmomer_protein"}
    protein = cells["protein"].copy()
    tl.embed(protein, trained_protein)
    np.testing.assert_allclose(
        protein.obsm["X_scmomer_protein"], cells.obsm["X_scmomer_protein"], atol=1e-5
    )


def test_a_model_without_protein_is_refused(trained, cells, refuses):
    with refuses(ValueError, "['rna', 'atac']", "'protein'"):
        tl.translate_protein(cells["rna"], trained)
