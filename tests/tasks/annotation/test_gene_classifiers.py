"""Classifiers on genes: against scikit-learn, for cells and classes that lack something."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from scmomer.data import Cells
from scmomer.nn import log_normalize_csr
from scmomer.tasks.annotation import _gene_classifiers
from scmomer.tasks.annotation._gene_classifiers import (
    GeneClassifiers,
    choose_mixing_weight,
    cross_val_probabilities,
    mix_probabilities,
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
    x = log_normalize_csr(counts, TARGET)
    regression = LogisticRegression(C=0.15, max_iter=300, tol=1e-2).fit(x, codes)
    bayes = MultinomialNB().fit(counts, codes)
    expected = (regression.predict_proba(x) + bayes.predict_proba(counts)) / 2
    found = GeneClassifiers.fit(counts, codes, n_classes, TARGET).predict_proba(counts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_class_without_cells_gets_no_probability(counts, codes, n_classes):
    fitted = GeneClassifiers.fit(counts, codes + 1, n_classes + 2, TARGET)
    found = fitted.predict_proba(counts)
    assert not found[:, [0, -1]].any()
    np.testing.assert_allclose(
        found[:, 1:-1],
        GeneClassifiers.fit(counts, codes, n_classes, TARGET).predict_proba(counts),
        atol=1e-6,
    )


def test_cells_without_rna_are_neither_fitted_nor_predicted(cells, codes, n_classes):
    known = cells.measured["rna"]
    fitted = GeneClassifiers.fit_cells(cells, codes, n_classes, TARGET)
    alone = GeneClassifiers.fit(cells.counts["rna"][known], codes[known], n_classes, TARGET)
    assert np.array_equal(fitted.coef, alone.coef)
    found = fitted.predict_proba_cells(cells)
    assert np.isnan(found[~known]).all() and np.isfinite(found[known]).all()
    no_rna = Cells({"atac": cells.counts["rna"]}, {"atac": np.ones(N, bool)})
    assert np.isnan(fitted.predict_proba_cells(no_rna)).all()
    assert GeneClassifiers.fit_cells(cells, np.where(known, 0, 1), n_classes, TARGET) is None


def test_a_held_out_cell_was_not_fitted(cells, codes, n_classes):
    """Random labels are recovered only by classifiers that were fitted to them."""
    known = cells.measured["rna"]
    nonsense = np.random.default_rng(1).permutation(codes)
    fitted = GeneClassifiers.fit_cells(cells, nonsense, n_classes, TARGET).predict_proba_cells(
        cells
    )
    held_out = cross_val_probabilities(cells, nonsense, n_classes, TARGET)
    assert np.isnan(held_out[~known]).all() and np.isfinite(held_out[known]).all()
    right = [(p[known].argmax(1) == nonsense[known]).mean() for p in (fitted, held_out)]
    assert right[0] > max(1 / n_classes, right[1]) + 0.2
    truly = cross_val_probabilities(cells, codes, n_classes, TARGET)[known]
    assert (truly.argmax(1) == codes[known]).mean() > 0.9


def test_heads_alone_count_where_genes_are_nan():
    heads, genes = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[0.6, 0.4], [np.nan, np.nan]])
    np.testing.assert_allclose(mix_probabilities(heads, genes, 0.25), [[0.3, 0.7], [0.5, 0.5]])


def test_held_out_cells_decide_the_weight_of_genes():
    codes = np.arange(300) % 3
    right, wrong = np.eye(3)[codes], np.eye(3)[(codes + 1) % 3]
    assert choose_mixing_weight(right, right, codes, 0.3) == 0.3
    assert choose_mixing_weight(right, wrong, codes, 0.3) == 0.3  # outvoted up to a half
    assert choose_mixing_weight(right, wrong, codes, 0.7) == 0.4
    assert choose_mixing_weight(wrong, right, codes, 0.3) == 0.6
    few = np.where(np.arange(300)[:, None] < 2, wrong, right)  # within the error
    assert choose_mixing_weight(few, right, codes, 0.3) == 0.3
    nothing = np.full_like(right, np.nan)
    assert choose_mixing_weight(right, nothing, codes, 0.3) == 0.3


def test_of_many_cells_some_are_enough_but_rare_classes_are_kept(monkeypatch):
    monkeypatch.setattr(_gene_classifiers, "_MAX_FIT_CELLS", 1000)
    codes = np.repeat([0, 1, 2], [5000, 250, 30])
    np.random.default_rng(0).shuffle(codes)
    kept = np.bincount(codes[_gene_classifiers._subsample(codes)])
    assert kept.tolist() == [834, 125, 30]
    assert len(_gene_classifiers._subsample(codes[:900])) == 900


def test_of_many_genes_the_most_variable_between_classes_are_read(
    counts, codes, monkeypatch, n_classes
):
    monkeypatch.setattr(_gene_classifiers, "_MAX_LINEAR_GENES", 12)
    fitted = GeneClassifiers.fit(counts, codes, n_classes, TARGET)
    read = np.flatnonzero(fitted.coef.any(1))
    assert len(read) == 12 and (read % 4 < n_classes).mean() > 0.8
    assert fitted.feature_log_prob.all()  # naive Bayes reads all
    silent = sp.csr_matrix(counts.multiply(np.arange(GENES) % 4 == 0))  # constant genes
    assert np.isfinite(
        GeneClassifiers.fit(silent, codes, n_classes, TARGET).predict_proba(silent)
    ).all()
