"""Regressions on log expression, beside the heads on embeddings."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, softmax
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from scmomer._constants import RNA
from scmomer.data import Cells
from scmomer.nn import log_normalize_csr
from scmomer.tasks.annotation._regression import (
    N_FOLDS,
    TOL,
    Weights,
    fit_cells,
    l2_of_standardized,
    l2_regression,
)
from scmomer.tasks.annotation._train import stratified_folds

_MAX_GENES = 12_000  # the most variable between classes
_MAX_COMPS = 50
# scikit-learn 1.8 renames the argument, older releases need the former one.
_RENAMED = inspect.signature(LogisticRegression).parameters["penalty"].default == "deprecated"
_L1: dict[str, Any] = {"l1_ratio": 1.0} if _RENAMED else {"penalty": "l1"}


@dataclass(frozen=True)
class GeneClassifiers:
    """L2 regression, L1 regression (one class against the rest), and regression on components.

    All are linear in log expression. Which is best depends on the data: few informative genes
    survive a change of condition (L1), many together separate close types (L2), components suit
    few cells.
    """

    coef: np.ndarray
    """Weights of log expression, ``(n_classifiers, n_genes, n_classes)``, float32."""
    intercept: np.ndarray
    """Shape ``(n_classifiers, n_classes)``, float32; minus infinity for a class without cells."""
    target_sum: float
    """Counts per cell after normalization: the median of the reference."""

    @classmethod
    def fit(cls, counts: sp.csr_matrix, codes: np.ndarray, n_classes: int) -> GeneClassifiers:
        """Fit to raw counts ``(n_cells, n_genes)`` and classes ``(n_cells,)``, at least two.

        A class without cells gets probability 0.
        """
        kept = fit_cells(codes)
        counts, codes = counts[kept], codes[kept]
        target_sum = max(float(np.median(np.asarray(counts.sum(1)))), 1.0)
        x = log_normalize_csr(counts, target_sum)
        genes = _most_variable_between_classes(x, codes)
        x, present = x[:, genes], np.unique(codes)
        coef = np.zeros((len(_CLASSIFIERS), counts.shape[1], n_classes), np.float32)
        intercept = np.full((len(_CLASSIFIERS), n_classes), -np.inf, np.float32)
        for number, fit in enumerate(_CLASSIFIERS):
            weights, starts = fit(x, codes)
            coef[number][np.ix_(genes, present)] = weights
            intercept[number, present] = starts
        return cls(coef, intercept, target_sum)

    @classmethod
    def fit_cells(cls, cells: Cells, codes: np.ndarray, n_classes: int) -> GeneClassifiers | None:
        """Fit to the cells that have RNA; None if they are all of one class."""
        known = cells.measured[RNA]
        if len(np.unique(codes[known])) < 2:
            return None
        return cls.fit(cells.counts[RNA][known], codes[known], n_classes)

    def predict_proba(self, counts: sp.csr_matrix) -> np.ndarray:
        """Return the probabilities of each classifier from raw counts.

        Shape ``(n_classifiers, n_cells, n_classes)``, float32.
        """
        x = log_normalize_csr(counts, self.target_sum)
        l2, l1, comps = (x @ c + i for c, i in zip(self.coef, self.intercept, strict=True))
        one = expit(l1) + np.where(np.isinf(self.intercept[1]), 0, 1e-12)
        found = softmax(l2, axis=1), one / one.sum(1, keepdims=True), softmax(comps, axis=1)
        return np.stack(found).astype(np.float32)

    def predict_proba_cells(self, cells: Cells) -> np.ndarray:
        """Return :meth:`predict_proba` of cells; NaN without RNA."""
        shape = len(self.coef), cells.n_cells, self.intercept.shape[1]
        found = np.full(shape, np.nan, np.float32)
        if RNA in cells.counts:
            known = cells.measured[RNA]
            found[:, known] = self.predict_proba(cells.counts[RNA][known])
        return found


def cross_val_probabilities(cells: Cells, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return probabilities of cells by classifiers fitted to the other folds.

    Shape ``(n_classifiers, n_cells, n_classes)``; NaN where RNA was not measured, or where the
    other folds have one class only.
    """
    found = np.full((len(_CLASSIFIERS), len(codes), n_classes), np.nan, np.float32)
    known = np.flatnonzero(cells.measured[RNA])
    folds = stratified_folds(codes[known], N_FOLDS, 0) if len(known) >= N_FOLDS else known[:0]
    for fold in np.unique(folds):
        held_out, train = known[folds == fold], known[folds != fold]
        if len(np.unique(codes[train])) > 1:
            counts = cells.counts[RNA]
            fitted = GeneClassifiers.fit(counts[train], codes[train], n_classes)
            found[:, held_out] = fitted.predict_proba(counts[held_out])
    return found


def _lasso(x: sp.csr_matrix, codes: np.ndarray) -> Weights:
    one = LogisticRegression(**_L1, solver="liblinear", C=1.0, tol=TOL, random_state=0)
    found = OneVsRestClassifier(one).fit(x, codes).estimators_
    weights = np.vstack([e.coef_ for e in found])
    starts = np.concatenate([e.intercept_ for e in found])
    if len(found) == 1:
        weights, starts = np.vstack([-weights, weights]), np.r_[-starts, starts]
    return weights.T, starts


def _on_components(x: sp.csr_matrix, codes: np.ndarray) -> Weights:
    """Fit to standardized principal components; return weights of genes."""
    n_comps = max(1, min(_MAX_COMPS, *(n - 1 for n in x.shape)))
    svd = TruncatedSVD(n_comps, algorithm="arpack", random_state=0)
    comps = svd.fit_transform(x.astype(np.float64))
    weights, starts = l2_of_standardized(comps, codes)
    return svd.components_.T @ weights, starts


_CLASSIFIERS: tuple[Callable[[sp.csr_matrix, np.ndarray], Weights], ...] = (
    l2_regression,
    _lasso,
    _on_components,
)


def _most_variable_between_classes(x: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
    """Return the genes with the largest F statistic between classes, sorted."""
    if x.shape[1] <= _MAX_GENES:
        return np.arange(x.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Features .* are constant")
        ratio = f_classif(x, codes)[0]
    order = np.argsort(-np.nan_to_num(ratio, nan=0.0, posinf=0.0), kind="stable")
    return np.sort(order[:_MAX_GENES])
