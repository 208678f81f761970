"""Votes of single genes: against scikit-learn, for cells and classes that lack something."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from scmomer.data import Cells
from scmomer.tasks.annotation import _gene_classifiers as _gene_votes
from scmomer.tasks.annotation._expression_pcs import log_expression
from scmomer.tasks.annotation._gene_classifiers import (
    GeneVotes,
    held_out_votes,
    share_of_genes,
    with_votes,
)

N, GENES, TARGET = 90, 40, 100.0


@pytest.fixture(params=[2, 3])
def n_classes(request) -> int:
    """How many classes there are."""
    return request.param


@pytest.fixture
def codes(n_classes) -> np.ndarray:
    """The class of each cell."""
    return np.arange(N) % n_classes


@pytest.fixture
def counts(codes) -> sp.csr_matrix:
    """Counts in which each class has genes of its own."""
    rng = np.random.default_rng(0)
    rate = np.where(np.arange(GENES) % 4 == codes[:, None], 2.0, 0.7)
    return sp.csr_matrix(rng.poisson(rate).astype(np.float32))


@pytest.fixture
def cells(counts) -> Cells:
    """The same cells; the last ten have no RNA."""
    measured = np.arange(N) < N - 10
    return Cells(
        {"rna": sp.csr_matrix(sp.diags(measured.astype(float)) @ counts)}, {"rna": measured}
    )


def test_they_are_the_mean_of_two_classifiers(counts, codes, n_classes):
    x = log_expression(counts, TARGET)
    regression = LogisticRegression(C=0.15, max_iter=300, tol=1e-2).fit(x, codes)
    bayes = MultinomialNB().fit(counts, codes)
    expected = (regression.predict_proba(x) + bayes.predict_proba(counts)) / 2
    found = GeneVotes.of(counts, codes, n_classes, TARGET)(counts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_class_without_cells_gets_no_votes(counts, codes, n_classes):
    votes = GeneVotes.of(counts, codes + 1, n_classes + 2, TARGET)
    found = votes(counts)
    assert not found[:, [0, -1]].any()
    np.testing.assert_allclose(
        found[:, 1:-1], GeneVotes.of(counts, codes, n_classes, TARGET)(counts), atol=1e-6
    )


def test_cells_without_rna_neither_vote_nor_are_voted_on(cells, codes, n_classes):
    known = cells.measured["rna"]
    votes = GeneVotes.of_measured(cells, codes, n_classes, TARGET)
    alone = GeneVotes.of(cells.counts["rna"][known], codes[known], n_classes, TARGET)
    assert np.array_equal(votes.linear, alone.linear)
    found = votes.on(cells)
    assert np.isnan(found[~known]).all() and np.isfinite(found[known]).all()
    no_rna = Cells({"atac": cells.counts["rna"]}, {"atac": np.ones(N, bool)})
    assert np.isnan(votes.on(no_rna)).all()
    assert GeneVotes.of_measured(cells, np.where(known, 0, 1), n_classes, TARGET) is None


def test_held_out_votes_do_not_know_the_cell(cells, codes, n_classes):
    """Labels that mean nothing are found again only by who was fitted to them."""
    known = cells.measured["rna"]
    nonsense = np.random.default_rng(1).permutation(codes)
    fitted = GeneVotes.of_measured(cells, nonsense, n_classes, TARGET).on(cells)
    held_out = held_out_votes(cells, nonsense, n_classes, TARGET)
    assert np.isnan(held_out[~known]).all() and np.isfinite(held_out[known]).all()
    right = [(p[known].argmax(1) == nonsense[known]).mean() for p in (fitted, held_out)]
    assert right[0] > max(1 / n_classes, right[1]) + 0.2
    truly = held_out_votes(cells, codes, n_classes, TARGET)[known]
    assert (truly.argmax(1) == codes[known]).mean() > 0.9


def test_heads_speak_alone_where_genes_say_nothing():
    heads, genes = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[0.6, 0.4], [np.nan, np.nan]])
    np.testing.assert_allclose(with_votes(heads, genes, 0.25), [[0.3, 0.7], [0.5, 0.5]])


def test_held_out_cells_decide_how_much_genes_count():
    codes = np.arange(300) % 3
    right, wrong = np.eye(3)[codes], np.eye(3)[(codes + 1) % 3]
    assert share_of_genes(right, right, codes, 0.3) == 0.3
    assert share_of_genes(right, wrong, codes, 0.3) == 0.3  # outvoted up to a half
    assert share_of_genes(right, wrong, codes, 0.7) == 0.4
    assert share_of_genes(wrong, right, codes, 0.3) == 0.6
    few = np.where(np.arange(300)[:, None] < 2, wrong, right)  # within the error
    assert share_of_genes(few, right, codes, 0.3) == 0.3
    nothing = np.full_like(right, np.nan)
    assert share_of_genes(right, nothing, codes, 0.3) == 0.3


def test_of_many_cells_some_are_enough_but_rare_classes_are_kept(monkeypatch):
    monkeypatch.setattr(_gene_votes, "_MOST_CELLS", 1000)
    codes = np.repeat([0, 1, 2], [5000, 250, 30])
    np.random.default_rng(0).shuffle(codes)
    kept = np.bincount(codes[_gene_votes._thinned(codes)])
    assert kept.tolist() == [834, 125, 30]
    assert len(_gene_votes._thinned(codes[:900])) == 900


def test_of_many_genes_those_that_tell_classes_apart_are_read(
    counts, codes, monkeypatch, n_classes
):
    monkeypatch.setattr(_gene_votes, "_MOST_GENES", 12)
    votes = GeneVotes.of(counts, codes, n_classes, TARGET)
    read = np.flatnonzero(votes.linear.any(1))
    assert len(read) == 12 and (read % 4 < n_classes).mean() > 0.8
    assert votes.log_shares.all()  # naive Bayes reads all
    silent = sp.csr_matrix(counts.multiply(np.arange(GENES) % 4 == 0))  # constant genes
    assert np.isfinite(GeneVotes.of(silent, codes, n_classes, TARGET)(silent)).all()
