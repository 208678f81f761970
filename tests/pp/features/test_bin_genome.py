"""Counts in genomic bins: equal to a loop, in natural order, the same for any peak set."""

from __future__ import annotations

import logging

import anndata
import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from scmomer.pp import bin_genome

PEAKS = ["chr10:100-300", "chr2:4900-5200", "chr2:9000-9500", "chrX:1-3", "chr2:4000-4002"]


def cells(names, n=5, seed=0) -> AnnData:
    """Poisson counts."""
    rng = np.random.default_rng(seed)
    adata = AnnData(sp.csr_matrix(rng.poisson(1, (n, len(names))).astype(np.float32)))
    adata.obs_names = [f"cell{seed}-{i}" for i in range(n)]
    adata.var_names = list(names)
    return adata


def naive(adata, width) -> dict[str, np.ndarray]:
    """Loop over peaks."""
    result: dict[str, np.ndarray] = {}
    for i, name in enumerate(adata.var_names):
        chrom, place = name.split(":")
        start, end = map(int, place.split("-"))
        first = (start + end) // 2 // width * width
        column = adata.X.toarray()[:, i]
        key = f"{chrom}:{first}-{first + width}"
        result[key] = result.get(key, 0) + column
    return result


@pytest.mark.parametrize("width", [1, 300, 5000, 10**9])
def test_bins_are_those_of_a_loop(mdata, width):
    atac = mdata["atac"][:, ::-1].copy()
    binned, expected = bin_genome(atac, width), naive(atac, width)
    assert set(binned.var_names) == set(expected) and binned.n_vars == len(expected)
    for name, column in expected.items():
        assert np.array_equal(binned[:, name].X.toarray()[:, 0], column)
    assert np.array_equal(binned.X.sum(1), atac.X.sum(1))  # each peak counts once


def test_bins_are_in_natural_order_and_have_places(unchanged):
    adata = cells(PEAKS)
    with unchanged(adata):
        binned = bin_genome(adata)
    names = ["chr2:0-5000", "chr2:5000-10000", "chr10:0-5000", "chrX:0-5000"]
    assert binned.var_names.tolist() == names
    assert binned.var["chrom"].tolist() == ["chr2", "chr2", "chr10", "chrX"]
    assert binned.var["start"].tolist() == [0, 5000, 0, 0]
    assert binned.var["end"].tolist() == [5000, 10000, 5000, 5000]
    X = adata.X.toarray()
    expected = np.stack([X[:, 4], X[:, 1] + X[:, 2], X[:, 0], X[:, 3]], 1)  # center 5050: second
    assert np.array_equal(binned.X.toarray(), expected)
    assert type(binned.X) is sp.csr_matrix and binned.X.dtype == np.float32


def test_bins_without_counts_stay():
    adata = cells(PEAKS)
    adata.X[:, 0] = 0
    assert "chr10:0-5000" in bin_genome(adata).var_names


def test_matrices_and_containers_give_the_same(mdata, as_matrix, as_container):
    atac = mdata["atac"]
    atac.X = atac.X.astype(bool).astype(np.float32)
    expected = bin_genome(atac, 500)
    other = atac.copy()
    other.X = as_matrix(other.X)
    assert np.array_equal(bin_genome(other, 500).X.toarray(), expected.X.toarray())
    assert (bin_genome(as_container(atac), 500).X != expected.X).nnz == 0


def test_binning_twice_changes_nothing():
    once = bin_genome(cells(PEAKS))
    twice = bin_genome(once)
    assert twice.var.equals(once.var) and (twice.X != once.X).nnz == 0


def test_data_with_nothing_in_common_get_the_same_features():
    a, b = cells(PEAKS), cells(["chr2:10-60", "chr2:7000-7001", "chr3:5-9"], seed=1)
    assert not a.var_names.intersection(b.var_names).size
    bins = [bin_genome(a), bin_genome(b)]
    joined = anndata.concat(bins, join="inner")
    assert joined.var_names.tolist() == ["chr2:0-5000", "chr2:5000-10000"] and joined.n_obs == 10
    joined = anndata.concat(bins, join="outer")
    assert joined.n_vars == 5 and joined.X.sum() == a.X.sum() + b.X.sum()


@pytest.mark.parametrize("kind", ["bins", "peaks", "names"])
def test_a_reference_decides_which_bins_there_are(kind):
    a, b = cells(PEAKS), cells(["3_5_9", "2_10_60", "2_7000_7001"], seed=1)
    bins = bin_genome(a)
    reference = {"bins": bins, "peaks": a, "names": bins.var_names.tolist()}[kind]
    other = bin_genome(b, reference=reference)
    assert other.var.equals(bins.var)
    X = np.zeros((5, 4), np.float32)
    X[:, :2] = b.X.toarray()[:, 1:]
    assert np.array_equal(other.X.toarray(), X)


def test_a_model_is_a_reference(trained, mdata):
    bins = bin_genome(mdata["atac"], 2000, reference=trained)
    assert bins.var.equals(bin_genome(mdata["atac"], 2000).var)


def test_one_line_reports_how_many_match(caplog):
    with caplog.at_level(logging.INFO, "scmomer"):
        bin_genome(cells(PEAKS))
    (record,) = caplog.records
    assert "5 of 5 peaks (100%) match 4 of 4 bins of 5000 bases" in record.getMessage()


def test_cells_are_kept_and_layers_dropped():
    adata = cells(PEAKS)
    adata.obs["batch"], adata.obsm["X_pca"] = "a", np.ones((5, 2))
    adata.layers["counts"], adata.uns["note"] = adata.X.copy(), "kept"
    adata.X = adata.X / 3
    binned = bin_genome(adata, layer="counts")
    assert binned.obs.equals(adata.obs) and binned.uns["note"] == "kept"
    assert np.array_equal(binned.obsm["X_pca"], adata.obsm["X_pca"]) and not binned.layers
    assert binned.X.sum() == adata.layers["counts"].sum()


# -- errors


@pytest.mark.parametrize("width", [0, -5, 2.5, "5000", True])
def test_widths_that_make_no_sense_are_refused(refuses, width):
    with refuses(ValueError, "width", "at least 1", repr(width)):
        bin_genome(cells(PEAKS), width)


def test_names_that_are_not_intervals_are_refused(refuses):
    with refuses(ValueError, "1 of 2", "'Gad1'", "adata.var_names"):
        bin_genome(cells(["chr1:1-9", "Gad1"]))
    with refuses(ValueError, "1 of 1", "'Gad1'", "reference"):
        bin_genome(cells(["chr1:1-9"]), reference=["Gad1"])
    with refuses(ValueError, "1 of 1", "'chr1:9-9'"):
        bin_genome(cells(["chr1:9-9"]))
    with refuses(ValueError, "adata.var_names, found 1", "chr1:1-9"):
        bin_genome(cells(["chr1:1-9", "chr1:1-9"]))


def test_another_assembly_is_refused(refuses):
    adata = cells([f"chr1:{i}-{i + 9}" for i in range(0, 10**6, 10_000)])
    with refuses(ValueError, "10%", "of `reference`", "2 of 100", "assembly", "min_share"):
        bin_genome(adata, reference=["chr1:1-9", "chr1:10001-10009", "chr2:1-9"])
    few = bin_genome(adata, reference=["chr1:1-9", "chr1:10001-10009"], min_share=0)
    assert np.array_equal(few.X.toarray(), adata.X[:, :2].toarray())
    with refuses(ValueError, "chromosomes", "'chr1'", "reference has 'chr2'"):
        bin_genome(adata, reference=["chr2:1-9"])


def test_values_that_are_not_counts_are_refused(refuses):
    adata = cells(PEAKS)
    adata.X = adata.X / 3
    with refuses(ValueError, "adata.X", "non-integer", "layer="):
        bin_genome(adata)
