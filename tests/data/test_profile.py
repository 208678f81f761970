"""RNA that is not counts, on the scale of counts."""

from __future__ import annotations

import logging
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from scmomer.data import get_expression, read_cells

SCALES = {
    "linear": lambda x: x,
    "log": np.log1p,
    "log2": lambda x: np.log2(1 + x),
}


@pytest.fixture(params=SCALES)
def scale(request):
    """Name of a scale."""
    return request.param


def cells(matrix) -> AnnData:
    obs = pd.DataFrame(index=[f"c{i}" for i in range(matrix.shape[0])])
    var = pd.DataFrame(index=[f"g{i}" for i in range(matrix.shape[1])])
    return AnnData(matrix, obs=obs, var=var)


def draw(n: int = 60, n_genes: int = 40, rate: float = 1.0, seed: int = 0) -> np.ndarray:
    """Counts of cells of different depth; each cell has a gene with one count."""
    rng = np.random.default_rng(seed)
    mean = rng.lognormal(0, 1, n_genes) * rng.lognormal(0, 0.5, (n, 1)) * rate
    counts = rng.poisson(mean).astype(np.float32)
    counts[:, 0] = 1
    return counts


def bulk(n: int = 20, n_genes: int = 40, total: float = 1e6, seed: int = 0) -> np.ndarray:
    """Abundances of a common total, which are no multiples of anything."""
    abundance = np.random.default_rng(seed).lognormal(0, 2, (n, n_genes))
    abundance[:, ::7] = 0
    return total * abundance / abundance.sum(1, keepdims=True)


def shares(matrix) -> np.ndarray:
    dense = matrix.toarray() if sp.issparse(matrix) else matrix
    return dense / dense.sum(1, keepdims=True)


# -- normalized


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("total", [1.0, 1e4, 1e6])
def test_counts_are_recovered_from_any_scale_and_total(scale, total, dtype):
    counts = draw()
    values = SCALES[scale](total * shares(counts)).astype(dtype)
    found = get_expression(cells(sp.csr_matrix(values)), None, "adata", profile="normalized")
    assert np.array_equal(found.counts.toarray(), counts) and found.has_depth
    assert found.counts.dtype == np.float32


def test_counts_are_recovered_from_some_of_the_genes(scale):
    counts = draw(n_genes=300)
    values = SCALES[scale](1e4 * shares(counts))[:, :100]
    found = get_expression(cells(values), None, "adata", profile="normalized")
    assert np.array_equal(found.counts.toarray(), counts[:, :100])


@pytest.mark.parametrize("smallest", [2, 3, 5])
def test_cells_without_single_counts_are_recovered_too(scale, smallest):
    counts = draw()
    counts[0] = [0, smallest, 7, 51] + [0] * 36
    values = SCALES[scale](1e4 * shares(counts))
    found = get_expression(cells(values), None, "adata", profile="normalized").counts.toarray()
    assert np.array_equal(found, counts)


def test_a_cell_of_another_kind_keeps_its_proportions():
    counts = draw()
    counts[0] = [0, 1, 1.37, 2.71] + [0] * 36
    values = np.log1p(1e4 * shares(counts))
    found = get_expression(cells(values), None, "adata", profile="normalized").counts.toarray()
    assert np.array_equal(found[1:], counts[1:])
    np.testing.assert_allclose(found[0, 1:4], [1, 1.37, 2.71], rtol=1e-5)


def test_whole_numbers_are_counts(caplog):
    counts = draw()
    counts[0] *= 2  # no longer multiples of 1
    with caplog.at_level(logging.INFO, "scmomer"):
        found = get_expression(cells(counts), None, "adata", profile="normalized")
    assert np.array_equal(found.counts.toarray(), counts) and found.has_depth
    assert "adata.X holds whole numbers" in caplog.text


def test_empty_cells_stay_empty(scale):
    for values in (draw(), bulk()):
        values[3] = 0
        values = SCALES[scale](values * 1.37)
        found = get_expression(cells(values), None, "adata", profile="normalized").counts
        assert found[3].nnz == 0 and found[4].nnz > 0
    nothing = get_expression(cells(np.zeros((3, 2))), None, "adata", profile="normalized")
    assert nothing.counts.nnz == 0


def test_rounded_abundances_are_no_counts(scale, caplog):
    abundance = bulk(n_genes=400, total=5000).round(1)
    with caplog.at_level(logging.INFO, "scmomer"):
        found = get_expression(cells(SCALES[scale](abundance)), None, "adata", profile="normalized")
    np.testing.assert_allclose(shares(found.counts), shares(abundance), rtol=1e-4, atol=1e-7)
    assert not found.has_depth and "multiples of one number" in caplog.text


@pytest.mark.parametrize("scale", ["log", "log2"])
def test_logs_of_counts_are_counts(scale):
    counts = draw()
    found = get_expression(cells(SCALES[scale](counts)), None, "adata", profile="normalized")
    assert np.array_equal(found.counts.toarray(), counts) and found.has_depth


def test_equal_totals_show_the_scale_of_abundances(scale, caplog):
    abundance = bulk(total=20)  # below what only linear values can be
    with caplog.at_level(logging.INFO, "scmomer"):
        found = get_expression(cells(SCALES[scale](abundance)), None, "adata", profile="normalized")
    np.testing.assert_allclose(shares(found.counts), shares(abundance), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.counts.sum(1), 1e4, rtol=1e-4)
    assert not found.has_depth
    assert "because all cells then have about the same total" in caplog.text


@pytest.mark.parametrize(("scale", "why"), [("linear", "the largest"), ("log2", "the largest")])
def test_large_values_show_the_scale_of_a_panel(scale, why, caplog, recwarn):
    panel = bulk(n_genes=400)[:, :30]  # unequal totals
    panel[0, 1] = 5e5
    with caplog.at_level(logging.INFO, "scmomer"):
        found = get_expression(cells(SCALES[scale](panel)), None, "adata", profile="normalized")
    np.testing.assert_allclose(shares(found.counts), shares(panel), rtol=1e-3)
    assert why in caplog.text
    assert not [w for w in recwarn if w.category is UserWarning]


def test_an_unclear_base_warns_and_the_line_of_the_warning_helps():
    panel = bulk(n_genes=400, total=1e4)[:, :30]
    adata = cells(np.log2(1 + panel))
    with pytest.warns(UserWarning, match=r"adata\.X is read as log\(1 \+ x\)") as caught:
        get_expression(adata, None, "adata", profile="normalized")
    (line,) = re.findall(r"run `(.*?)`", str(caught[0].message))
    exec(line, {"adata": adata, "np": np})
    with pytest.warns(UserWarning, match="neither that nor"):  # still unclear, but right
        found = get_expression(adata, None, "adata", profile="normalized")
    np.testing.assert_allclose(shares(found.counts), shares(panel), rtol=1e-3)


@pytest.mark.parametrize("rows", [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1]])
def test_totals_of_replicates_do_not_tell_the_scale(rows):
    values = np.log2(1 + bulk(n_genes=400, total=1e4))[rows]
    with pytest.warns(UserWarning, match=r"equal totals of 3 or more different cells.*np\.log"):
        get_expression(cells(values), None, "adata", profile="normalized")


def test_noise_between_replicates_does_not_tell_the_scale():
    rng = np.random.default_rng(0)
    values = np.log2(1 + bulk(1, 4000, total=1e4)) * (1 + 1e-4 * rng.random((5, 4000)))
    with pytest.warns(UserWarning, match="alone gives"):
        get_expression(cells(values), None, "adata", profile="normalized")


def test_equal_totals_of_similar_cells_still_show_the_scale(scale, recwarn):
    like = bulk(1, 4000) * np.random.default_rng(0).lognormal(0, 0.2, (5, 4000))
    like *= 20 / like.sum(1, keepdims=True)  # as logarithms too, totals are within 2 %
    found = get_expression(cells(SCALES[scale](like)), None, "adata", profile="normalized")
    np.testing.assert_allclose(shares(found.counts), shares(like), rtol=1e-4, atol=1e-7)
    assert not [w for w in recwarn if w.category is UserWarning]


def test_totals_are_those_of_known_genes():
    known = np.arange(40) < 25
    found = get_expression(cells(bulk()), None, "adata", profile="normalized", known=known)
    np.testing.assert_allclose(found.counts[:, :25].sum(1), 1e4, rtol=1e-4)


# -- z-scores


def test_levels_follow_ranks_above_zero():
    z = np.array([[3, -1, 0.5, 0, 1, -2], [-1, -2, 0, 0.1, -3, -4]])
    found = get_expression(cells(z), None, "adata", profile="zscore")
    level = -np.log(1 - np.array([5 / 6, 0, 1 / 6, 0, 3 / 6, 0]))
    expected = np.stack([1e4 * level / level.sum(), [0, 0, 0, 1e4, 0, 0]])
    np.testing.assert_allclose(found.counts.toarray(), expected, rtol=1e-5)
    assert not found.has_depth


def test_ranks_are_relative_to_the_level_of_each_gene():
    z, levels = np.array([[3, -1, 0.5, 0, 1, -2]]), np.array([1.0, 5, 0, 5, 4, 5])
    found = get_expression(cells(z), None, "adata", profile="zscore", levels=levels)
    level = -np.log(1 - np.array([5 / 6, 0, 0, 0, 3 / 6, 0])) * levels
    np.testing.assert_allclose(found.counts.toarray()[0], 1e4 * level / level.sum(), rtol=1e-5)


def test_only_the_order_of_z_scores_matters():
    z = np.random.default_rng(0).normal(size=(10, 50)).round(1)  # with ties
    found, other = (
        get_expression(cells(values), None, "adata", profile="zscore").counts.toarray()
        for values in (z, np.sign(z) * np.abs(z) ** 3)
    )
    assert np.array_equal(found, other)
    row = found[0]
    assert all(len(np.unique(row[z[0] == value])) == 1 for value in np.unique(z[0]))


def test_genes_that_the_model_lacks_do_not_move_others():
    z = np.random.default_rng(0).normal(size=(10, 50))
    known = np.arange(50) < 30
    all_ = get_expression(cells(z), None, "adata", profile="zscore", known=known).counts
    some = get_expression(cells(z[:, :30]), None, "adata", profile="zscore").counts
    assert np.array_equal(all_.toarray()[:, :30], some.toarray())
    assert all_[:, 30:].nnz == 0


def test_a_cell_without_values_above_zero_is_empty():
    z = np.array([[-1.0, -2.0], [1.0, -1.0]])
    found = get_expression(cells(z), None, "adata", profile="zscore").counts
    assert found[0].nnz == 0 and np.isfinite(found.data).all()


# -- what does not fit


@pytest.mark.filterwarnings("ignore:.*is read as log")
@pytest.mark.parametrize("profile", ["normalized", "zscore"])
@pytest.mark.parametrize("kind", [np.array, sp.csr_matrix])
def test_nan_is_refused_with_a_line_that_helps(refuses, profile, kind):
    z = np.random.default_rng(0).normal(size=(6, 5))
    values = np.abs(z) if profile == "normalized" else z
    values[:, 2] = np.nan
    adata = cells(kind(values))
    what = {"normalized": "normalized expression", "zscore": "z-scores"}[profile]
    with refuses(ValueError, f"Expected {what} in adata.X", "6 of 30", "'g2'"):
        get_expression(adata, None, "adata", profile=profile)
    with pytest.raises(ValueError, match="NaN") as caught:
        get_expression(adata, None, "adata", profile=profile)
    (line,) = re.findall(r"`(.*?)`", str(caught.value))
    names = {"adata": adata, "np": np}
    exec(line, names)
    assert names["adata"].var_names.tolist() == ["g0", "g1", "g3", "g4"]
    get_expression(names["adata"], None, "adata", profile=profile)


def test_negative_values_are_not_normalized(refuses):
    z = cells(np.array([[0.5, -1.25]]))
    with refuses(ValueError, "negative", "-1.25 at cell 'c0', feature 'g1'", "profile='zscore'"):
        get_expression(z, None, "adata", profile="normalized")


def test_values_without_negative_ones_are_no_z_scores(refuses):
    with refuses(ValueError, "z-scores in adata.X", "below 0", "profile='normalized'"):
        get_expression(cells(bulk()), None, "adata", profile="zscore")


def test_an_unknown_profile_is_refused(refuses):
    with refuses(ValueError, "['counts', 'normalized', 'zscore']", "'tpm'"):
        get_expression(cells(bulk()), None, "adata", profile="tpm")


@pytest.mark.parametrize("profile", ["normalized", "zscore"])
def test_a_layer_is_read_and_nothing_is_changed(profile, unchanged):
    adata = cells(sp.csr_matrix(draw()))
    adata.layers["z"] = adata.X.toarray() - 0.7
    adata.layers["log"] = np.log1p(bulk(60))
    layer = {"normalized": "log", "zscore": "z"}[profile]
    with unchanged(adata):
        found = get_expression(adata, layer, "adata", profile=profile).counts
    assert found.shape == adata.shape and found.has_canonical_format


@pytest.mark.parametrize("value", ["counts", "normalized"])
def test_counts_may_be_read_as_either(trained, make_unseen, value):
    query = make_unseen()["rna"]
    found = read_cells(query, trained.spec, profile=value)
    assert (found.counts["rna"] != query.X).nnz == 0 and found.has_depth
