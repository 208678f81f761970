"""Two simple classifiers on genes, mixed with the heads on embeddings."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.special import softmax
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from scmomer._constants import RNA
from scmomer.data import Cells
from scmomer.nn import log_normalize_csr
from scmomer.tasks.annotation._subsample import stratified_stride
from scmomer.tasks.annotation._train import stratified_folds

_N_FOLDS = 3
_MIXING_WEIGHTS = np.arange(6) / 5  # that are compared
_MAX_FIT_CELLS = 20_000  # linear weights of a few thousand genes need no more
_MIN_CELLS_PER_CLASS = 100  # kept in the subsample, if the class has them
_MAX_LINEAR_GENES = 3000  # the most variable between classes
_INVERSE_PENALTY = 0.15  # chosen on SNARE-seq batches that no reported figure uses


@dataclass(frozen=True)
class GeneClassifiers:
    """Logistic regression on log expression and naive Bayes on counts; their mean probability.

    A shift of assay or condition biases all heads together; classifiers on single genes make
    different errors.
    """

    coef: np.ndarray
    """Weights of log expression, ``(n_genes, n_classes)``, float32."""
    intercept: np.ndarray
    """Shape ``(n_classes,)``, float32."""
    feature_log_prob: np.ndarray
    """Log share of each gene in the counts of a class, ``(n_genes, n_classes)``, float32."""
    class_log_prior: np.ndarray
    """Log share of each class in the reference, ``(n_classes,)``, float32."""
    target_sum: float
    """Counts per cell after normalization."""

    @classmethod
    def fit(
        cls, counts: sp.csr_matrix, codes: np.ndarray, n_classes: int, target_sum: float
    ) -> GeneClassifiers:
        """Fit to raw counts ``(n_cells, n_genes)`` and classes ``(n_cells,)``, at least two.

        A class without cells gets probability 0.
        """
        kept = _subsample(codes)
        counts, codes = counts[kept], codes[kept]
        x = log_normalize_csr(counts, target_sum)
        genes = _most_variable_between_classes(x, codes)
        regression = LogisticRegression(C=_INVERSE_PENALTY, max_iter=300, tol=1e-2)
        regression.fit(x[:, genes], codes)
        bayes = MultinomialNB().fit(counts, codes)
        present = regression.classes_
        coef = np.zeros((counts.shape[1], n_classes), np.float32)
        intercept, class_log_prior = (np.full(n_classes, -np.inf, np.float32) for _ in range(2))
        feature_log_prob = np.zeros_like(coef)
        weights, starts = regression.coef_, regression.intercept_
        if len(present) == 2:  # there is one set of weights, for the second class
            weights, starts = np.vstack([0 * weights, weights]), np.r_[0, starts]
        coef[np.ix_(genes, present)] = weights.T
        intercept[present] = starts
        feature_log_prob[:, present] = bayes.feature_log_prob_.T
        class_log_prior[present] = bayes.class_log_prior_
        return cls(coef, intercept, feature_log_prob, class_log_prior, target_sum)

    @classmethod
    def fit_cells(
        cls, cells: Cells, codes: np.ndarray, n_classes: int, target_sum: float
    ) -> GeneClassifiers | None:
        """Fit to the cells that have RNA; None if they are all of one class."""
        known = cells.measured[RNA]
        if len(np.unique(codes[known])) < 2:
            return None
        return cls.fit(cells.counts[RNA][known], codes[known], n_classes, target_sum)

    def predict_proba(self, counts: sp.csr_matrix) -> np.ndarray:
        """Return mean probabilities, ``(n_cells, n_classes)`` float32, from raw counts."""
        x = log_normalize_csr(counts, self.target_sum)
        scores = (
            x @ self.coef + self.intercept,
            counts @ self.feature_log_prob + self.class_log_prior,
        )
        return np.mean([softmax(s, axis=1) for s in scores], axis=0).astype(np.float32)

    def predict_proba_cells(self, cells: Cells) -> np.ndarray:
        """Return probabilities of cells, ``(n_cells, n_classes)``; NaN without RNA."""
        found = np.full((cells.n_cells, len(self.intercept)), np.nan, np.float32)
        if RNA in cells.counts:
            known = cells.measured[RNA]
            found[known] = self.predict_proba(cells.counts[RNA][known])
        return found


def cross_val_probabilities(
    cells: Cells, codes: np.ndarray, n_classes: int, target_sum: float
) -> np.ndarray:
    """Return probabilities of cells by classifiers fitted to the other folds, ``(n, n_classes)``.

    NaN where RNA was not measured, or where the other folds have one class only.
    """
    found = np.full((len(codes), n_classes), np.nan, np.float32)
    known = np.flatnonzero(cells.measured[RNA])
    folds = stratified_folds(codes[known], _N_FOLDS, 0) if len(known) >= _N_FOLDS else known[:0]
    for fold in np.unique(folds):
        held_out, train = known[folds == fold], known[folds != fold]
        if len(np.unique(codes[train])) > 1:
            counts = cells.counts[RNA]
            fitted = GeneClassifiers.fit(counts[train], codes[train], n_classes, target_sum)
            found[held_out] = fitted.predict_proba(counts[held_out])
    return found


def choose_mixing_weight(
    by_heads: np.ndarray, by_genes: np.ndarray, codes: np.ndarray, preferred: float
) -> float:
    """Return the weight of the gene classifiers that suits held-out cells.

    Heads need embeddings close to training, gene classifiers need many labels; which is better
    depends on the data.

    Parameters
    ----------
    by_heads, by_genes
        Probabilities of held-out cells, ``(n, n_classes)``.
    codes
        Their classes, ``(n,)``.
    preferred
        Weight to return unless another one is more accurate by more than two standard errors of
        the difference. Then the nearest weight within two errors of the best. Not the best itself:
        the model was trained on these cells, which favors the heads.
    """
    weights = np.unique([*_MIXING_WEIGHTS, preferred])
    right = np.stack(
        [mix_probabilities(by_heads, by_genes, w).argmax(1) == codes for w in weights], 1
    ).astype(float)  # (n, n_weights)
    behind = right[:, [right.mean(0).argmax()]] - right
    error = behind.std(0) / max(len(codes), 1) ** 0.5
    as_good = weights[behind.mean(0) <= 2 * error]
    return float(as_good[np.abs(as_good - preferred).argmin()])


def mix_probabilities(by_heads: np.ndarray, by_genes: np.ndarray, weight: float) -> np.ndarray:
    """Average ``(n, n_classes)`` with a `weight` for genes; heads alone where genes are NaN."""
    both = (1 - weight) * by_heads + weight * by_genes
    return np.where(np.isnan(by_genes), by_heads, both).astype(np.float32)


def _subsample(codes: np.ndarray) -> np.ndarray:
    """Return about `_MAX_FIT_CELLS` cells, evenly spaced in each class; all cells of rare ones."""
    step = -(-len(codes) // _MAX_FIT_CELLS)
    return stratified_stride(codes, np.clip(np.bincount(codes) // _MIN_CELLS_PER_CLASS, 1, step))


def _most_variable_between_classes(x: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
    """Return the genes with the largest F statistic between classes, sorted."""
    if x.shape[1] <= _MAX_LINEAR_GENES:
        return np.arange(x.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Features .* are constant")
        ratio = f_classif(x, codes)[0]
    order = np.argsort(-np.nan_to_num(ratio, nan=0.0, posinf=0.0), kind="stable")
    return np.sort(order[:_MAX_LINEAR_GENES])
