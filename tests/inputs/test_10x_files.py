"""10x multi-modal files in their real format, through scanpy and through muon."""

from __future__ import annotations

from pathlib import Path

import h5py
import muon
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs

TYPES = {"rna": "Gene Expression", "atac": "Peaks", "protein": "Antibody Capture"}


def write_10x(path: Path, mdata: MuData) -> None:
    """Writes ``filtered_feature_bc_matrix.h5`` as Cell Ranger ARC and Cell Ranger 7 do."""
    parts = list(mdata.mod.items())
    matrix = sp.hstack([adata.X for _, adata in parts]).tocsr().astype(np.int32)
    names = np.concatenate([adata.var_names for _, adata in parts])
    types = np.concatenate([np.repeat(TYPES[m], adata.n_vars) for m, adata in parts])
    is_peak = types == "Peaks"
    with h5py.File(path, "w") as file:
        file.attrs.update({"filetype": "matrix", "version": 2})
        group = file.create_group("matrix")
        group["barcodes"] = np.array([f"{n}-1" for n in mdata.obs_names], "S")
        # Features x barcodes, compressed by barcode.
        group["data"], group["indices"] = matrix.data, matrix.indices.astype(np.int64)
        group["indptr"] = matrix.indptr.astype(np.int64)
        group["shape"] = np.array(matrix.shape[::-1], np.int32)
        features = group.create_group("features")
        ids = np.where(is_peak, names, [f"ENSG{i:011d}" for i in range(len(names))])
        for key, values in {
            "id": ids,
            "name": names,
            "feature_type": types,
            "genome": np.where(types == "Antibody Capture", "", "GRCh38"),
            "interval": np.where(is_peak, names, "NA"),
        }.items():
            features[key] = np.array([str(v).encode() for v in values])
        features["_all_tag_keys"] = np.array([b"genome", b"interval"])


@pytest.fixture
def multiome(mdata, tmp_path) -> tuple[MuData, Path]:
    """The cells and their file."""
    path = tmp_path / "filtered_feature_bc_matrix.h5"
    write_10x(path, mdata)
    return mdata, path


def test_a_multiome_through_scanpy(trained, multiome):
    mdata, path = multiome
    adata = sc.read_10x_h5(path, gex_only=False)
    assert adata.n_vars == 260
    z = trained.get_latent_representation(mdata)
    np.testing.assert_allclose(trained.get_latent_representation(adata), z, atol=1e-6)
    split = scmomer.pp.split_modalities(adata)
    np.testing.assert_allclose(trained.get_latent_representation(split), z, atol=1e-6)


def test_genes_alone_through_scanpy(trained, multiome):
    mdata, path = multiome
    rna = sc.read_10x_h5(path)
    np.testing.assert_allclose(
        trained.get_latent_representation(rna),
        trained.get_latent_representation(mdata["rna"]),
        atol=1e-6,
    )


@pytest.mark.filterwarnings("ignore")
def test_a_multiome_through_muon(trained, multiome, train, make_model):
    mdata, path = multiome
    with keep_obs():
        read = muon.read_10x_h5(path)
    assert set(read.mod) == {"rna", "atac"}
    np.testing.assert_allclose(
        trained.get_latent_representation(read), trained.get_latent_representation(mdata), atol=1e-6
    )
    model = make_model(read)
    train(model)
    assert model.get_latent_representation().shape == (120, 8)


@pytest.mark.filterwarnings("ignore")
def test_cite_seq_through_both(trained_protein, make_mdata, tmp_path):
    mdata = make_mdata(n_proteins=10)
    del mdata.mod["atac"]
    mdata.update()
    path = tmp_path / "cite.h5"
    write_10x(path, mdata)
    z = trained_protein.get_latent_representation(mdata)
    read = muon.read_10x_h5(path)
    assert set(read.mod) == {"rna", "prot"}
    for data in (sc.read_10x_h5(path, gex_only=False), read):
        np.testing.assert_allclose(trained_protein.get_latent_representation(data), z, atol=1e-6)
