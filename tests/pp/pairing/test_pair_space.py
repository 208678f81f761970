"""Pairs in a shared space of expression and gene activity: neighbors and transport."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scmomer.data import _neighbors
from scmomer.metrics import foscttm, pairing_agreement
from scmomer.pp import pair_cells
from scmomer.pp.pairing import _shared_space
from scmomer.pp.pairing._gene_activity import linked_peaks, nearby_peaks
from scmomer.pp.pairing._pair_neighbors import pair_by_neighbors
from scmomer.pp.pairing._pair_transport import pair_by_transport
from scmomer.pp.pairing._pairs import SharedSpace

needs_pot = pytest.mark.skipif(find_spec("ot") is None, reason="needs POT")
BOTH = [pytest.param("embedding"), pytest.param("ot", marks=needs_pot)]


def agreement(paired) -> dict[str, float]:
    """Agreement of cell types over pairs."""
    return pairing_agreement(
        paired["rna"].obs["cell_type"], paired["atac"].obs["cell_type"].to_numpy()
    )


def ring(n: int, shift: float = 0.0) -> np.ndarray:
    """Points on a circle, ``(n, 2)``."""
    angle = 2 * np.pi * (np.arange(n) + shift) / n
    return np.column_stack([np.cos(angle), np.sin(angle)])


# -- known truth


@pytest.mark.parametrize("on", BOTH)
def test_pairs_of_hidden_truth_are_far_better_than_chance(make_mdata, apart, on):
    rna, atac = apart(make_mdata(n_cells=300, n_genes=100, n_peaks=400))
    paired = pair_cells(rna, atac, on=on)
    found = agreement(paired)
    assert found["chance"] == pytest.approx(0.25, abs=0.02) and found["agreement"] > 0.9
    # Both modalities also depend on the state within a type.
    state, of_partner = (paired[name].obs["state"].to_numpy() for name in ("rna", "atac"))
    assert np.corrcoef(state, of_partner)[0, 1] > 0.3


def test_the_space_puts_both_sides_of_a_cell_together(make_mdata, apart):
    rna, atac = apart(make_mdata(n_cells=300, n_genes=100, n_peaks=400))
    counts = rna.X, atac.X @ linked_peaks(atac, rna.var_names, "linked_gene")
    space = _shared_space.shared_space(*counts, n_comps=10, n_top_genes=2000, random_state=0)
    own = rna.obs_names.get_indexer(atac.obs["true_cell"])
    assert foscttm(space.rna[own], space.atac) < 0.2


@pytest.mark.parametrize("on", BOTH)
def test_sides_of_other_sizes(make_mdata, apart, on):
    rna, atac = apart(make_mdata(), n_atac=50)
    for first, second in ((rna, atac), (rna[:30].copy(), atac)):
        paired = pair_cells(first, second, on=on)
        assert paired.n_obs == first.n_obs
        assert agreement(paired)["agreement"] > 0.6


# -- the space


def test_the_space_is_the_singular_vectors_of_standardized_matrices():
    rng = np.random.default_rng(0)
    x, y = (sp.csr_matrix(rng.poisson(1.0, (n, 12)).astype(np.float32)) for n in (40, 30))
    space = _shared_space.shared_space(x, y, n_comps=4, n_top_genes=50, random_state=0)

    def standard(m: sp.csr_matrix) -> np.ndarray:
        m = m.toarray().astype(float)
        total = m.sum(1, keepdims=True)
        m = np.log1p(m / total * np.median(total))
        return (m - m.mean(0)) / m.std(0)

    u, s, vt = np.linalg.svd(standard(x) @ standard(y).T)
    left, right = u[:, :4] * s[:4], vt[:4].T * s[:4]
    for found, naive in ((space.rna, left), (space.atac, right)):
        naive /= np.linalg.norm(naive, axis=1, keepdims=True)
        assert np.allclose(np.abs(found), np.abs(naive), atol=1e-3)
    assert np.allclose(space.rna @ space.atac.T, left @ right.T, atol=1e-3)


def test_a_few_variable_genes_can_make_the_space(make_mdata, apart):
    paired = pair_cells(
        *apart(make_mdata(n_cells=300, n_genes=200, n_peaks=600)), on="embedding", n_top_genes=60
    )
    assert agreement(paired)["agreement"] > 0.6


def test_dimensions_are_lowered_to_what_the_data_allow(sides):
    rna, atac = sides
    paired = pair_cells(rna[:6].copy(), atac, on="embedding")
    for name in ("rna", "atac"):
        assert paired[name].obsm["X_pairing"].shape == (6, 5)
        assert np.allclose(np.linalg.norm(paired[name].obsm["X_pairing"], axis=1), 1)


def test_empty_cells_and_features_do_no_harm(sides):
    rna, atac = sides
    for adata in sides:
        keep = np.ones(adata.shape, np.float32)
        keep[:3], keep[:, :3] = 0, 0
        adata.X = adata.X.multiply(keep).tocsr()
    paired = pair_cells(rna, atac, on="embedding")
    assert paired.n_obs == 120 and paired.obs["pair_confidence"].notna().all()


def test_data_that_are_too_small_are_refused(sides, refuses):
    rna, atac = sides
    with refuses(ValueError, "3 cells on each side", "2 RNA cells", "120 ATAC cells"):
        pair_cells(rna[:2].copy(), atac, on="embedding")
    silent = atac.copy()
    silent.X = sp.csr_matrix(atac.shape, dtype=np.float32)
    with refuses(ValueError, "3 genes that vary", "0 such genes", "on='labels'"):
        pair_cells(rna, silent, on="embedding")


# -- gene activity


@pytest.fixture
def coordinates(mdata) -> pd.DataFrame:
    """Each gene of :func:`mdata` spans its linked peaks."""
    var = mdata["atac"].var
    by_gene = var.groupby("linked_gene", observed=True)
    return by_gene.agg(chrom=("chrom", "first"), start=("start", "min"), end=("end", "max"))


def test_coordinates_of_genes_give_the_linked_peaks(mdata, coordinates):
    atac, names = mdata["atac"], mdata["rna"].var_names
    near = nearby_peaks(atac, names, coordinates, upstream=0)
    assert (near != linked_peaks(atac, names, "linked_gene")).nnz == 0


@pytest.mark.parametrize("strand", [False, True])
def test_nearby_peaks_are_those_of_a_loop(mdata, coordinates, strand):
    atac, names = mdata["atac"].copy(), mdata["rna"].var_names
    var = atac.var.copy()
    var.loc[var.index[10:14], "end"] += 30_000  # peaks that contain others
    atac.var_names = [f"{c}:{s}-{e}" for c, s, e in var[["chrom", "start", "end"]].to_numpy()]
    genes = coordinates.sample(frac=1, random_state=0)
    genes = pd.concat(
        [genes, pd.DataFrame({"chrom": "chrY", "start": [1], "end": [9]}, ["Gene0001"])]
    )
    if strand:
        genes["strand"] = np.where(np.arange(len(genes)) % 2, "+", "-")
    found = nearby_peaks(atac, names, genes, upstream=5000).toarray()
    expected = np.zeros_like(found)
    for name, gene in genes.iterrows():
        low = gene["start"] - 5000 * (gene.get("strand") != "-")
        high = gene["end"] + 5000 * (gene.get("strand") != "+")
        hit = (var["chrom"] == gene["chrom"]) & (var["end"] > low) & (var["start"] < high)
        expected[hit.to_numpy(), names.get_loc(name)] = 1
    assert np.array_equal(found, expected) and found.sum() > 200


def test_pairs_by_coordinates(sides, coordinates):
    paired = pair_cells(*sides, on="embedding", genes=coordinates, upstream=0)
    assert paired.obs.equals(pair_cells(*sides, on="embedding").obs)
    assert paired.uns["scmomer"]["pair_cells"]["params"]["upstream"] == 0


def test_peaks_may_have_no_gene_or_an_unknown_one(sides):
    rna, atac = sides
    linked = atac.var["linked_gene"].astype(object)
    linked[:50] = np.nan
    linked[50:60] = "elsewhere"
    atac.var["linked_gene"] = linked
    links = linked_peaks(atac, rna.var_names, "linked_gene")
    assert links.shape == (200, 60) and links.nnz == 140 and links[:60].nnz == 0


def test_an_absent_column_of_links_is_refused(sides, refuses):
    with refuses(KeyError, "'nearest_gene'", "atac.var", "'linked_gene'", "genes="):
        pair_cells(*sides, on="embedding", linked_key="nearest_gene")


def test_genes_without_a_common_name_are_refused(sides, coordinates, refuses):
    rna, atac = sides
    rna.var_names = "ENS" + rna.var_names
    with refuses(ValueError, "'ENSGene0001'", "atac.var['linked_gene']", "'Gene00", "Ensembl"):
        pair_cells(rna, atac, on="embedding")
    with refuses(ValueError, "'ENSGene0001'", "it has 'Gene0001'", "the index", "Ensembl"):
        pair_cells(rna, atac, on="embedding", genes=coordinates)


def test_coordinates_without_a_column_are_refused(sides, coordinates, refuses):
    with refuses(KeyError, "['chrom', 'start', 'end']", "without ['chrom']"):
        pair_cells(*sides, on="embedding", genes=coordinates.drop(columns="chrom"))


def test_peaks_without_coordinates_are_refused(sides, coordinates, refuses):
    rna, atac = sides
    atac.var_names = [f"peak_{i}" for i in range(atac.n_vars)]
    with refuses(ValueError, "chr1:1000-1500", "200 of 200", "'peak_0'"):
        pair_cells(rna, atac, on="embedding", genes=coordinates)


def test_genes_without_peaks_nearby_are_refused(sides, coordinates, refuses):
    coordinates[["start", "end"]] += 10**8
    with refuses(ValueError, "within 2000 base pairs", "'chr1:", "genes are on 'chr1', ", "genome"):
        pair_cells(*sides, on="embedding", genes=coordinates)
    coordinates["chrom"] = "NC_" + coordinates["chrom"].astype(str)
    with refuses(ValueError, "same chromosomes", "genes on 'NC_chr1'", "peaks on 'chr1'"):
        pair_cells(*sides, on="embedding", genes=coordinates)


def test_chromosomes_match_without_their_prefix(mdata, coordinates):
    atac, names = mdata["atac"], mdata["rna"].var_names
    expected = nearby_peaks(atac, names, coordinates, upstream=0)
    coordinates["chrom"] = coordinates["chrom"].str.removeprefix("chr")
    assert (nearby_peaks(atac, names, coordinates, upstream=0) != expected).nnz == 0


# -- neighbors


def test_mutual_neighbors_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    x, y = (_shared_space._unit(rng.normal(size=(n, 3))) for n in (40, 25))
    found = pair_by_neighbors(SharedSpace(x, y), 4, "nearest", 0)
    distance = np.linalg.norm(x[:, None] - y, axis=2)
    rank, back = distance.argsort(1).argsort(1), distance.argsort(0).argsort(0)
    for i in range(40):
        mutual = np.flatnonzero((rank[i] < 4) & (back[i] < 4))
        best = min(mutual, key=lambda j: rank[i, j]) if len(mutual) else rank[i].argmin()
        expected = max(x[i] @ y[best], 0) if len(mutual) else 0
        assert found.atac[i] == best
        assert found.confidence[i] == pytest.approx(expected, abs=1e-9)
    assert 0 < (found.confidence == 0).sum() < 40
    dropped = pair_by_neighbors(SharedSpace(x, y), 4, "drop", 0)
    kept = np.flatnonzero(found.confidence > 0)
    assert np.isin(kept, dropped.rna).all() and (np.diff(dropped.rna) > 0).all()
    assert np.array_equal(dropped.atac, found.atac[dropped.rna])


def test_cells_without_a_mutual_neighbor_can_be_left_out(sides):
    everyone = pair_cells(*sides, on="embedding", n_neighbors=2)
    some = pair_cells(*sides, on="embedding", n_neighbors=2, unmatched="drop")
    assert everyone.n_obs == 120 > some.n_obs > 20
    assert some.obs.equals(everyone.obs.loc[some.obs_names])
    assert (some.obs["pair_confidence"] > 0).all()


@pytest.mark.slow  # compiles for half a minute
def test_many_cells_are_searched_with_an_index(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 300, 4))
    exact = _neighbors.nearest(x, y, 10, 0)
    monkeypatch.setattr(_neighbors, "_MAX_EXACT", 100)
    found = _neighbors.nearest(x, y, 10, 0)
    assert found.shape == exact.shape
    assert np.mean([np.isin(a, b).mean() for a, b in zip(found, exact, strict=True)]) > 0.95
    assert np.array_equal(found, _neighbors.nearest(x, y, 10, 0))


# -- transport


@needs_pot
def test_transport_finds_a_shifted_ring():
    space = SharedSpace(ring(60), ring(60, 0.3))
    found = pair_by_transport(space, 1e-3, 100, False, np.random.default_rng(0))
    assert np.array_equal(found.atac, np.arange(60))  # each cell once
    assert np.allclose(found.confidence, np.cos(0.3 * 2 * np.pi / 60))


@needs_pot
def test_draws_follow_the_plan():
    space = SharedSpace(ring(200), ring(200))
    sharp, soft = (
        pair_by_transport(space, epsilon, 200, True, np.random.default_rng(0))
        for epsilon in (1e-3, 10)
    )
    assert (sharp.confidence > 0.9).all()
    assert soft.confidence.mean() < 0.6 and len(np.unique(soft.atac)) > 80


@needs_pot
@pytest.mark.parametrize("n_atac", [7, 90])
def test_blocks_bound_memory_and_cover_all_cells(monkeypatch, n_atac):
    import ot

    shapes = []
    solve = ot.sinkhorn
    monkeypatch.setattr(
        ot,
        "sinkhorn",
        lambda a, b, cost, *k, **w: (shapes.append(cost.shape), solve(a, b, cost, *k, **w))[1],
    )
    space = SharedSpace(ring(100), ring(n_atac))
    found = pair_by_transport(space, 0.1, 25, False, np.random.default_rng(0))
    assert np.array_equal(found.rna, np.arange(100))
    assert len(shapes) == 4 and max(max(shape) for shape in shapes) <= 25
    assert sum(shape[0] for shape in shapes) == 100 and sum(shape[1] for shape in shapes) == n_atac


def test_transport_without_pot_reports_how_to_install_it(sides, monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(ImportError, match=r"^POT is not installed.*pip install 'scmomer\[ot\]'"):
        pair_cells(*sides, on="ot")
