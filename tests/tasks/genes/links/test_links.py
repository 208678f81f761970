"""Pieces of links: pairs, scores, background, blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from scmomer.data import gene_positions, parse_peaks
from scmomer.tasks.genes import candidate_pairs
from scmomer.tasks.genes.links import _background as background
from scmomer.tasks.genes.links import _scores as scores
from scmomer.tasks.genes.links._blocks import correlated_blocks
from scmomer.tasks.genes.links._candidates import Candidates

# -- pairs


def test_candidates_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    n, m, reach = 30, 120, 700
    genes = pd.DataFrame(
        {
            "chrom": rng.choice(["1", "2", "3"], n),
            "start": rng.integers(0, 8000, n),
            "strand": rng.choice(["+", "-", "."], n),
        },
        index=[f"g{i // 2}" for i in range(n)],  # two transcripts each
    )
    genes["end"] = genes["start"] + rng.integers(1, 900, n)
    chrom, start, width = rng.choice([1, 2], m), rng.integers(0, 8000, m), rng.integers(1, 300, m)
    names = pd.Index([f"chr{c}:{s}-{s + w}" for c, s, w in zip(chrom, start, width, strict=True)])
    at = gene_positions(pd.Index([f"g{i}" for i in range(n // 2)]), genes)
    found = candidate_pairs(at, parse_peaks(names), reach)
    expected = {}
    for name, gene in genes.iterrows():
        tss = {"+": gene.start, "-": gene.end}.get(gene.strand, (gene.start + gene.end) // 2)
        for j in range(m):
            away = (
                start[j] + width[j] // 2 - tss
                if width[j] % 2 == 0
                else (2 * start[j] + width[j]) // 2 - tss
            )
            key = (int(name[1:]), j)
            if gene.chrom == str(chrom[j]) and abs(away) <= reach:
                signed = -away if gene.strand == "-" else away
                if key not in expected or abs(away) < abs(expected[key]):
                    expected[key] = signed
    pairs = dict(
        zip(
            zip(found.gene.tolist(), found.peak.tolist(), strict=True),
            found.distance.tolist(),
            strict=True,
        )
    )
    assert len(pairs) == len(found) and pairs.keys() == expected.keys() and len(pairs) > 100
    assert {k: abs(v) for k, v in pairs.items()} == {k: abs(v) for k, v in expected.items()}
    assert np.mean([pairs[k] == expected[k] for k in pairs]) > 0.98  # equal distances on both sides


# -- scores


def test_components_are_uncorrelated_and_free_of_nuisance():
    rng = np.random.default_rng(0)
    group = np.eye(3)[np.arange(200) % 3]
    depth = rng.normal(size=(200, 1))
    z = rng.normal(size=(200, 5)) + group @ rng.normal(size=(3, 5)) * 4 + depth * 3
    z = np.hstack([z, z[:, :2]])  # rank 5
    u = scores.components(z, np.hstack([group, depth]))
    assert u.shape == (200, 5)
    np.testing.assert_allclose(u.T @ u / 200, np.eye(5), atol=1e-10)
    np.testing.assert_allclose(group.T @ u, 0, atol=1e-9)
    np.testing.assert_allclose(depth.T @ u, 0, atol=1e-9)
    assert scores.components(z[:20], np.ones((20, 1))).shape[1] == 2, "one for ten cells"


def test_products_of_loadings_are_correlations_of_projections():
    rng = np.random.default_rng(0)
    n = 4000
    z = rng.normal(size=(n, 3))
    x = rng.poisson(np.exp(z @ rng.normal(size=(3, 6)) * 0.7))
    ones = np.ones((n, 1))
    found = scores.loadings(sp.csr_matrix(x), scores.components(z, ones), ones)
    projected = (
        ones @ x.mean(0, keepdims=True)
        + (c := z - z.mean(0)) @ np.linalg.lstsq(c, x - x.mean(0), rcond=None)[0]
    )
    np.testing.assert_allclose(found @ found.T, np.corrcoef(projected.T), atol=0.03)


def test_loadings_within_groups_ignore_differences_between_them():
    rng = np.random.default_rng(0)
    group = np.eye(2)[np.arange(600) % 2]
    within = rng.normal(size=(600, 1))
    z = within + 5 * group[:, :1]
    x = sp.csr_matrix(np.hstack([5 * group[:, :1] + rng.normal(size=(600, 1)), within]))
    ones = np.ones((600, 1))
    all_cells = scores.loadings(x, scores.components(z, ones), ones)
    inside = scores.loadings(x, scores.components(z, group), group)
    assert abs(all_cells[0, 0]) > 0.9 and abs(inside[0, 0]) < 0.9 * abs(all_cells[0, 0])
    assert abs(inside[1, 0]) > 0.99


def test_noise_has_short_loadings():
    """Shrinkage: the squared length of a feature without signal is about a half."""
    rng = np.random.default_rng(0)
    ones = np.ones((500, 1))
    u = scores.components(rng.normal(size=(500, 10)), ones)
    x = sp.csr_matrix((rng.random((500, 400)) < 0.2).astype(float))
    found = scores.loadings(x, u, ones)
    assert (found**2).sum(1).mean() == pytest.approx(0.5, abs=0.05)
    constant = scores.loadings(sp.csr_matrix(np.ones((500, 1))), u, ones)
    assert (constant == 0).all()


def test_pairs_and_table_agree(monkeypatch):
    rng = np.random.default_rng(0)
    factors = scores.LinkFactors(rng.normal(size=(5, 3)), rng.normal(size=(7, 3)))
    gene, peak = np.divmod(np.arange(35), 7)
    monkeypatch.setattr(scores, "_BLOCK", 10)
    np.testing.assert_allclose(
        factors.pairs(gene, peak), factors.table(np.arange(5), np.arange(7)).ravel()
    )


def test_log_expression_is_at_the_median_total():
    x = np.array([[1, 3], [2, 0], [10, 10], [0, 0]])
    found = scores.log_expression(sp.csr_matrix(x, dtype=np.float32)).toarray()
    np.testing.assert_allclose(
        found[:3], np.log1p(x[:3] / x[:3].sum(1, keepdims=True) * 4), rtol=1e-6
    )
    assert (found[3] == 0).all()


# -- background


def chance(n_genes=40, n_peaks=600, k=8, seed=0):
    """Genes and peaks without links on two chromosomes, and pairs of the same chromosome."""
    rng = np.random.default_rng(seed)
    factors = scores.LinkFactors(rng.normal(size=(n_genes, k)), rng.normal(size=(n_peaks, k)))
    gene = np.repeat(np.arange(n_genes), 50)
    peak = rng.integers(0, n_peaks // 2, len(gene)) * 2 + gene % 2
    away = rng.integers(-1000, 1000, len(gene))
    pairs = Candidates(gene, peak, away, away, np.zeros(len(gene), int))
    return factors, pairs, np.arange(n_genes) % 2, np.arange(n_peaks) % 2


@pytest.mark.parametrize("null", ["distance", "trans"])
def test_p_values_without_links_are_uniform(null):
    factors, pairs, of_gene, of_peak = chance()
    strata = (
        background.distance_strata(pairs, 50)
        if null == "distance"
        else background.peak_strata(pairs, np.arange(600.0) % 97, np.arange(600) % 31, 50)
    )
    found = background.significance(
        factors, pairs, factors.pairs(pairs.gene, pairs.peak), strata, of_gene, of_peak, 200, 0
    )
    assert stats.kstest(found.pval, "uniform").pvalue > 0.001
    assert found.z.mean() == pytest.approx(0, abs=0.1)
    assert found.z.std() == pytest.approx(1, abs=0.1)


def test_a_planted_link_stands_out_in_both_directions():
    factors, pairs, of_gene, of_peak = chance()
    factors.peak[pairs.peak[0]] = 4 * factors.gene[pairs.gene[0]]
    other = np.flatnonzero((pairs.gene != pairs.gene[0]) & (pairs.peak != pairs.peak[0]))[0]
    factors.peak[pairs.peak[other]] = -4 * factors.gene[pairs.gene[other]]
    score = factors.pairs(pairs.gene, pairs.peak)
    strata = background.distance_strata(pairs, 50)
    found = background.significance(factors, pairs, score, strata, of_gene, of_peak, 200, 0)
    assert found.z[0] > 5 and found.z[other] < -5
    assert max(found.pval[0], found.pval[other]) < 0.01


def test_z_is_that_of_the_same_gene_with_peaks_of_the_other_chromosome():
    factors, pairs, of_gene, of_peak = chance()
    score = factors.pairs(pairs.gene, pairs.peak)
    one = background.Strata(np.zeros(len(pairs), int), [np.arange(600)])
    found = background.significance(factors, pairs, score, one, of_gene, of_peak, 1000, 0)
    for i in (0, 77, 1999):
        null = factors.peak[of_peak != of_gene[pairs.gene[i]]] @ factors.gene[pairs.gene[i]]
        assert found.z[i] == pytest.approx((score[i] - null.mean()) / null.std(ddof=1))


def test_peaks_are_matched_by_both_properties():
    _, pairs, _, _ = chance()
    level, width = np.arange(600.0), np.tile([1, 2, 3], 200)
    strata = background.peak_strata(pairs, level, width, 10)
    assert len(strata.members) == 30
    for members in strata.members:
        assert np.ptp(level[members]) < 60 and len(np.unique(width[members])) == 1
    assert sum(map(len, strata.members)) == 600
    assert len(background.peak_strata(pairs, level, width, 200).members) == 1, "few peaks"
    for i in (0, 500):
        assert pairs.peak[i] in strata.members[strata.of_pair[i]]


# -- blocks


def test_blocks_join_alike_neighbors_only():
    a, b = np.eye(2)
    vectors = np.array([a, a, b, a, a, a])
    names = ["chr1:0-10", "chr1:90-100", "chr1:50-60", "chr1:5000-5010", "chr2:0-10", "chr2:20-30"]
    used = np.array([True, True, True, True, True, False])
    found = correlated_blocks(vectors, parse_peaks(pd.Index(names)), used, 1000, 0.8)
    assert found[0] == found[1] and found[5] == -1
    assert len({*found[:5]}) == 4 and sorted({*found[:5]}) == [0, 1, 2, 3]
    chained = correlated_blocks(vectors, parse_peaks(pd.Index(names)), used, 10_000, 0.8)
    assert chained[0] == chained[1] == chained[3]
