"""Classifiers on genes: against scikit-learn, for cells and classes that lack something."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scmomer.data import Cells
from scmomer.nn import log_normalize_csr
from scmomer.tasks.annotation import _gene_classifiers, _regression
from scmomer.tasks.annotation._gene_classifiers import GeneClassifiers, cross_val_probabilities

N, GENES = 90, 40


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


def test_they_are_regressions_on_log_expression_and_its_components(counts, codes, n_classes):
    x = log_normalize_csr(counts, float(np.median(np.asarray(counts.sum(1)))))
    l2 = LogisticRegression(C=1.0, max_iter=300, tol=1e-2)
    l1 = LogisticRegression(**_gene_classifiers._L1, solver="liblinear", tol=1e-2, random_state=0)
    svd = TruncatedSVD(GENES - 1, algorithm="arpack", random_state=0)
    comps = make_pipeline(svd, StandardScaler(), LogisticRegression(max_iter=300, tol=1e-2))
    models = l2, OneVsRestClassifier(l1), comps
    found = GeneClassifiers.fit(counts, codes, n_classes).predict_proba(counts)
    assert found.dtype == np.float32 and found.shape == (3, N, n_classes)
    for got, model in zip(found, models, strict=True):
        np.testing.assert_allclose(got, model.fit(x, codes).predict_proba(x), atol=1e-3)


def test_a_class_without_cells_gets_no_probability(counts, codes, n_classes):
    fitted = GeneClassifiers.fit(counts, codes + 1, n_classes + 2)
    found = fitted.predict_proba(counts)
    assert not found[:, :, [0, -1]].any()
    np.testing.assert_allclose(
        found[:, :, 1:-1],
        GeneClassifiers.fit(counts, codes, n_classes).predict_proba(counts),
        atol=1e-6,
    )


def test_cells_without_rna_are_neither_fitted_nor_predicted(cells, codes, n_classes):
    known = cells.measured["rna"]
    fitted = GeneClassifiers.fit_cells(cells, codes, n_classes)
    alone = GeneClassifiers.fit(cells.counts["rna"][known], codes[known], n_classes)
    assert np.array_equal(fitted.coef, alone.coef)
    found = fitted.predict_proba_cells(cells)
    assert np.isnan(found[:, ~known]).all() and np.isfinite(found[:, known]).all()
    no_rna = Cells({"atac": cells.counts["rna"]}, {"atac": np.ones(N, bool)})
    assert np.isnan(fitted.predict_proba_cells(no_rna)).all()
    assert GeneClassifiers.fit_cells(cells, np.where(known, 0, 1), n_classes) is None


def test_a_held_out_cell_was_not_fitted(cells, codes, n_classes):
    """Random labels are recovered only by classifiers that were fitted to them."""
    known = cells.measured["rna"]
    nonsense = np.random.default_rng(1).permutation(codes)
    fitted = GeneClassifiers.fit_cells(cells, nonsense, n_classes).predict_proba_cells(cells)
    held_out = cross_val_probabilities(cells, nonsense, n_classes)
    assert np.isnan(held_out[:, ~known]).all() and np.isfinite(held_out[:, known]).all()
    shares = [(p[:, known].argmax(2) == nonsense[known]).mean(1) for p in (fitted, held_out)]
    assert (shares[0] > np.maximum(1 / n_classes, shares[1]) + 0.15).all()
    truly = cross_val_probabilities(cells, codes, n_classes)[:, known]
    assert ((truly.argmax(2) == codes[known]).mean(1) > 0.8).all()


def test_of_many_cells_some_are_enough_but_rare_classes_are_kept(monkeypatch):
    monkeypatch.setattr(_regression, "_MAX_FIT_CELLS", 1000)
    codes = np.repeat([0, 1, 2], [5000, 250, 30])
    np.random.default_rng(0).shuffle(codes)
    kept = np.bincount(codes[_regression.fit_cells(codes)])
    assert kept.tolist() == [834, 125, 30]
    assert len(_regression.fit_cells(codes[:900])) == 900


def test_of_many_genes_the_most_variable_between_classes_are_read(
    counts, codes, monkeypatch, n_classes
):
    monkeypatch.setattr(_gene_classifiers, "_MAX_GENES", 12)
    fitted = GeneClassifiers.fit(counts, codes, n_classes)
    read = np.flatnonzero(fitted.coef[0].any(1))
    assert len(read) == 12 and (read % 4 < n_classes).mean() > 0.8
    silent = sp.csr_matrix(counts.multiply(np.arange(GENES) % 4 == 0))  # constant genes
    assert np.isfinite(GeneClassifiers.fit(silent, codes, n_classes).predict_proba(silent)).all()
