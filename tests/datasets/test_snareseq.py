"""The bundled SNARE-seq data: complete, small, fast, and equal to its source."""

from __future__ import annotations

import hashlib
import time

import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scmomer._compat import keep_obs
from scmomer.datasets import snareseq_cortex
from scmomer.datasets._snareseq import FILE

CELLS_PER_BATCH = {
    "09A": 813,
    "09B": 910,
    "09C": 898,
    "09D": 916,
    "09E": 785,
    "09F": 910,
    "09G": 900,
    "09H": 836,
    "09I": 876,
    "09J": 841,
}


@pytest.fixture(scope="module")
def mdata() -> mudata.MuData:
    return snareseq_cortex()


def test_file_is_small_and_holds_no_pickle():
    assert FILE.stat().st_size <= 5_000_000
    with np.load(FILE, allow_pickle=False) as file:
        assert all(array.dtype.kind in "uiS" for array in dict(file).values())


def test_loads_fast():
    start = time.perf_counter()
    snareseq_cortex()
    assert time.perf_counter() - start < 10  # 0.2 s on an idle machine


def test_modalities_and_shapes(mdata):
    assert list(mdata.mod) == ["rna", "atac"]
    assert mdata["rna"].shape == (8685, 1677)
    assert mdata["atac"].shape == (8685, 25_734)
    assert mdata.obs_names.equals(mdata["rna"].obs_names)
    assert mdata.obs_names.equals(mdata["atac"].obs_names)
    assert mdata.obs_names.is_unique and mdata.var_names.is_unique


@pytest.mark.parametrize(
    ("name", "nnz", "total", "largest", "median", "sha256"),
    [
        ("rna", 913_860, 2_537_108, 525, 98, "b5bcea2eca43768d"),
        ("atac", 847_923, 866_072, 5, 81, "d79cfd916ed7a445"),
    ],
)
def test_counts_are_those_of_the_source(mdata, name, nnz, total, largest, median, sha256):
    """The expected numbers were computed from the h5mu file, not from the bundled one."""
    X = mdata[name].X
    assert isinstance(X, sparse.csr_matrix) and X.dtype == np.float32 and X.has_sorted_indices
    assert (X.nnz, X.sum(dtype=np.float64), X.max()) == (nnz, total, largest)
    assert X.data.min() == 1 and np.array_equal(X.data, np.rint(X.data))
    assert np.median(X.getnnz(axis=1)) == median
    parts = X.data.astype("<f4"), X.indices.astype("<i4"), X.indptr.astype("<i4")
    assert hashlib.sha256(b"".join(map(bytes, parts))).hexdigest().startswith(sha256)


def test_labels(mdata):
    assert mdata.obs["batch"].value_counts(sort=False).to_dict() == CELLS_PER_BATCH
    assert mdata.obs["cell_type"].nunique() == 15
    assert mdata.obs["cell_subtype"].nunique() == 23
    for obs in (mdata.obs, mdata["rna"].obs, mdata["atac"].obs):
        assert list(obs) == ["batch", "cell_type", "cell_subtype"]
        assert all(isinstance(dtype, pd.CategoricalDtype) for dtype in obs.dtypes)
    assert (mdata.obs_names.str.split("_").str[0] == mdata.obs["batch"]).all()


def test_peaks_are_named_by_their_place_and_linked_to_genes(mdata):
    var = mdata["atac"].var
    place = var["chrom"].astype(str) + ":" + var["start"].astype(str) + "-" + var["end"].astype(str)
    assert (place == var.index).all() and (var["end"] > var["start"]).all()
    assert var.index[0] == "chr1:4914570-4914685"
    assert var["linked_gene"].isin(mdata["rna"].var_names).all()


def test_marker_genes_mark_their_cell_types(mdata):
    """Counts belong to the right cells and genes: known markers are highest in their types."""
    rna = mdata["rna"]
    mean = pd.DataFrame(
        {
            name: np.asarray(rna.X[(rna.obs["cell_type"] == name).to_numpy()].mean(axis=0)).ravel()
            for name in rna.obs["cell_type"].cat.categories
        },
        index=rna.var_names,
    )
    assert mean.loc["Slc1a2"].idxmax() == "Astro"
    assert mean.loc["Sst"].idxmax() == "Sst"


@pytest.mark.parametrize("batches", [["09J", "09A"], "09C"])
def test_batches_are_the_same_rows_as_in_the_whole(mdata, batches):
    part = snareseq_cortex(batches=batches)
    names = [batches] if isinstance(batches, str) else sorted(batches)
    rows = mdata.obs["batch"].isin(names).to_numpy()
    assert list(part.obs["batch"].cat.categories) == names
    assert list(part.obs_names) == list(mdata.obs_names[rows])
    for name in ("rna", "atac"):
        assert part[name].n_vars == mdata[name].n_vars
        assert (part[name].X != mdata[name].X[rows]).nnz == 0


@pytest.mark.parametrize(("batches", "found"), [(["09A", "10A"], r"\['10A'\]"), ([], "empty")])
def test_wrong_batches_are_refused_with_the_known_ones(batches, found):
    with pytest.raises(ValueError, match=rf"09A.*09J.*{found}"):
        snareseq_cortex(batches=batches)


def test_survives_a_round_trip_to_disk(tmp_path):
    mdata = snareseq_cortex(batches="09A")
    mdata.write_h5mu(tmp_path / "cortex.h5mu")
    with keep_obs():
        back = mudata.read_h5mu(tmp_path / "cortex.h5mu")
    assert list(back.mod) == ["rna", "atac"] and back.uns["genome"] == "mm10"
    assert (back["atac"].X != mdata["atac"].X).nnz == 0
