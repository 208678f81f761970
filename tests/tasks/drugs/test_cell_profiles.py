from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from scmomer.tasks.drugs._cell_profiles import CellProfiles, ProfileReader, training_reader
from scmomer.tasks.drugs._line_kernel import Standardizer

GENES = [f"gene {i}" for i in range(20)]


@pytest.fixture
def counts() -> AnnData:
    values = np.random.default_rng(0).poisson(5, (8, 20)).astype(np.float32)
    values[:, 0] += 1
    return AnnData(sp.csr_matrix(values), var=pd.DataFrame(index=GENES))


def reader(profile: str = "counts") -> ProfileReader:
    return ProfileReader("expression", pd.Index(GENES), profile, None)


def expected(values: np.ndarray) -> np.ndarray:
    return np.log2(1 + values / values.sum(1, keepdims=True) * 1e4)


def test_counts_are_log_normalized(counts):
    (found,) = reader().read(counts, "counts", None)
    np.testing.assert_allclose(found, expected(counts.X.toarray()), rtol=1e-5)


def test_every_container_reads_the_same(counts, as_container, as_matrix, unchanged):
    binary = counts.copy()
    binary.X = (binary.X > 4).astype(np.float32)
    (wanted,) = reader().read(binary, "counts", None)
    other = binary.copy()
    other.X = as_matrix(other.X)
    with unchanged(other):
        np.testing.assert_allclose(reader().read(other, "counts", None)[0], wanted)
    container = as_container(counts)
    np.testing.assert_allclose(
        reader().read(container, "counts", None)[0], reader().read(counts, "counts", None)[0]
    )


def test_other_genes_of_a_query_do_not_count(counts):
    """A panel of training and a whole transcriptome have the same totals."""
    more = AnnData(
        sp.hstack([sp.csr_matrix(np.full((8, 30), 100.0)), counts.X]).tocsr(),
        var=pd.DataFrame(index=[*(f"other {i}" for i in range(30)), *GENES]),
    )
    for profile in ("counts", "normalized"):
        found = reader().read(more, profile, None)[0]
        np.testing.assert_allclose(found, reader().read(counts, "counts", None)[0], rtol=1e-5)


def test_repeated_genes_of_a_query(counts):
    half = counts.X.toarray()
    first = np.floor(half[:, :1] / 2)
    twice = AnnData(
        np.hstack([first, half[:, :1] - first, half[:, 1:]]),
        var=pd.DataFrame(index=["gene 0", "gene 0", *GENES[1:]]),
    )
    np.testing.assert_allclose(
        reader().read(twice, "counts", None)[0], reader().read(counts, "counts", None)[0], rtol=1e-5
    )
    z = twice.copy()
    z.X = np.random.default_rng(0).normal(size=z.shape)
    found = reader("zscore").read(z, "zscore", None)[0]
    np.testing.assert_allclose(found[:, 0], z.X[:, :2].mean(1), rtol=1e-5)
    np.testing.assert_allclose(found[:, 1:], z.X[:, 2:], rtol=1e-5)


def test_absent_genes_are_missing(counts, refuses, caplog):
    with caplog.at_level("INFO", logger="scmomer"):
        (found,) = reader().read(counts[:, :15].copy(), "counts", None)
    assert "5 of 20 genes are not in these cells" in caplog.text
    assert np.isnan(found[:, 15:]).all()
    assert np.isfinite(found[:, :15]).all()
    with refuses(ValueError, "at least half of the 20 genes", "among 9", "pp.align_genes"):
        reader().read(counts[:, :9].copy(), "counts", None)


def test_layers(counts):
    counts.layers["raw"] = counts.X.copy()
    wanted = reader().read(counts, "counts", None)[0]
    counts.X = np.zeros(counts.shape)
    np.testing.assert_array_equal(reader().read(counts, "counts", "raw")[0], wanted)


def test_values_that_are_not_of_the_profile(counts, refuses):
    z = counts.copy()
    z.X = np.random.default_rng(0).normal(size=z.shape)
    with refuses(ValueError, "profile="):
        reader().read(z, "counts", None)
    z.X[0, 0] = np.nan
    with refuses(ValueError, "NaN"):
        reader("zscore").read(z, "zscore", None)
    with refuses(ValueError, "z-scores", "no value below 0"):
        reader("zscore").read(counts, "zscore", None)


def test_training_reader(counts, refuses):
    assert training_reader(counts, "expression", "counts", None).genes.tolist() == GENES
    with refuses(TypeError, "AnnData", "DataFrame", "anndata.AnnData(table)"):
        training_reader(counts.to_df(), "expression", "counts", None)
    counts.var_names = ["gene 1", *GENES[1:]]
    with refuses(ValueError, "unique names in cells.var_names", "gene 1"):
        training_reader(counts, "expression", "counts", None)


# -- many cells


@pytest.fixture
def profiles() -> CellProfiles:
    rng = np.random.default_rng(0)
    return CellProfiles(
        sp.random(50, 20, 0.5, "csr", random_state=0), np.arange(20) < 18, rng.normal(size=(50, 3))
    )


def test_blocks_of_some_rows(profiles):
    whole, part = profiles.blocks(), profiles.blocks(slice(10, 14))
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_array_equal(a[10:14], b)
    assert np.isnan(whole[0][:, 18:]).all()
    assert len(profiles) == 50


def test_means_of_groups(profiles):
    groups = pd.Categorical(["a", "b", None, "b", "a"] * 10)
    averaged = profiles.averaged(groups)
    for mean, each in zip(averaged.blocks(), profiles.blocks(), strict=True):
        np.testing.assert_allclose(mean, [each[groups == g].mean(0) for g in "ab"])


def test_standardized_within_the_query(profiles):
    rng = np.random.default_rng(1)
    like = [Standardizer.fit(rng.normal(3, 2, (30, n))) for n in (20, 3)]
    moved = profiles.standardized(like)
    for x, scale in zip(moved.blocks(), like, strict=True):
        here = slice(0, 18) if x.shape[1] == 20 else slice(None)
        np.testing.assert_allclose(x[:, here].mean(0), scale.mean[here])
        np.testing.assert_allclose(x[:, here].std(0), scale.scale[here])
    part = moved.blocks(slice(3, 5))
    np.testing.assert_allclose(part[0], moved.blocks()[0][3:5])
    groups = pd.Categorical(["a", "b"] * 25)
    np.testing.assert_allclose(
        moved.averaged(groups).blocks()[1][0], moved.blocks()[1][::2].mean(0)
    )


def test_genes_that_are_constant_in_the_query_are_the_mean(profiles):
    flat = profiles.expression.toarray()
    flat[:, 4] = 7.0
    like = [Standardizer.fit(np.random.default_rng(1).normal(3, 2, (30, n))) for n in (20, 3)]
    moved = CellProfiles(sp.csr_matrix(flat), profiles.has, profiles.embedding).standardized(like)
    np.testing.assert_array_equal(moved.blocks()[0][:, 4], like[0].mean[4])


def test_few_cells_to_standardize_within(profiles, refuses):
    like = [Standardizer(np.zeros(n), np.ones(n)) for n in (20, 3)]
    few = CellProfiles(profiles.expression[:5], profiles.has, profiles.embedding[:5])
    with pytest.warns(UserWarning, match="5 cells are few") as caught:
        few.standardized(like)
    assert len(caught) == 1
    one = CellProfiles(profiles.expression[:1], profiles.has, profiles.embedding[:1])
    with refuses(ValueError, "at least 2 cells", "found 1"):
        one.standardized(like)
