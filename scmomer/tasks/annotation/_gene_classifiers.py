"""Two simple classifiers on genes, which stand beside the heads on embeddings."""

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
from scmomer.tasks.annotation._expression_pcs import log_expression
from scmomer.tasks.annotation._subsample import every_nth
from scmomer.tasks.annotation._train import stratified_folds

_FOLDS = 3
_SHARES = np.arange(6) / 5  # that are tried
_MOST_CELLS = 20_000  # linear weights of some thousand genes need no more
_LEAST_OF_A_CLASS = 100  # kept of a class, if it has them
_MOST_GENES = 3000  # that the linear one reads: those that tell classes apart best
_STRENGTH = 0.15  # inverse of the penalty, chosen on SNARE-seq batches that no reported figure uses


@dataclass(frozen=True)
class GeneVotes:
    """Logistic regression on log expression and naive Bayes on counts; their mean probability.

    Heads read embeddings that were fitted to the training cells, and go wrong together where an
    assay or a condition moves these. Single genes are moved otherwise, and the two err each in its
    own way.
    """

    linear: np.ndarray
    """Weights of log expression, ``(n_genes, n_classes)``, float32."""
    intercept: np.ndarray
    """Shape ``(n_classes,)``, float32."""
    log_shares: np.ndarray
    """Log share of each gene in the counts of a class, ``(n_genes, n_classes)``, float32."""
    log_prior: np.ndarray
    """Log share of each class in the reference, ``(n_classes,)``, float32."""
    target_sum: float
    """Counts per cell after normalisation."""

    @classmethod
    def of(
        cls, counts: sp.csr_matrix, codes: np.ndarray, n_classes: int, target_sum: float
    ) -> GeneVotes:
        """Fit to raw counts ``(n_cells, n_genes)`` and classes ``(n_cells,)``, at least two.

        A class without cells gets no votes.
        """
        kept = _thinned(codes)
        counts, codes = counts[kept], codes[kept]
        x = log_expression(counts, target_sum)
        genes = _telling_genes(x, codes)
        regression = LogisticRegression(C=_STRENGTH, max_iter=300, tol=1e-2)
        regression.fit(x[:, genes], codes)
        bayes = MultinomialNB().fit(counts, codes)
        present = regression.classes_
        linear = np.zeros((counts.shape[1], n_classes), np.float32)
        intercept, log_prior = (np.full(n_classes, -np.inf, np.float32) for _ in range(2))
        log_shares = np.zeros_like(linear)
        weights, starts = regression.coef_, regression.intercept_
        if len(present) == 2:  # there is one set of weights, for the second class
            weights, starts = np.vstack([0 * weights, weights]), np.r_[0, starts]
        linear[np.ix_(genes, present)] = weights.T
        intercept[present] = starts
        log_shares[:, present] = bayes.feature_log_prob_.T
        log_prior[present] = bayes.class_log_prior_
        return cls(linear, intercept, log_shares, log_prior, target_sum)

    @classmethod
    def of_measured(
        cls, cells: Cells, codes: np.ndarray, n_classes: int, target_sum: float
    ) -> GeneVotes | None:
        """Fit to the cells that have RNA; None if these are of one class."""
        known = np.flatnonzero(cells.measured[RNA])
        if len(np.unique(codes[known])) < 2:
            return None
        return cls.of(cells.counts[RNA][known], codes[known], n_classes, target_sum)

    def on(self, cells: Cells) -> np.ndarray:
        """Return the votes on cells, ``(n_cells, n_classes)``; not a number without RNA."""
        found = np.full((cells.n_cells, len(self.intercept)), np.nan, np.float32)
        if RNA in cells.counts:
            known = cells.measured[RNA]
            found[known] = self(cells.counts[RNA][known])
        return found

    def __call__(self, counts: sp.csr_matrix) -> np.ndarray:
        """Return mean probabilities, ``(n_cells, n_classes)`` float32, of raw counts."""
        x = log_expression(counts, self.target_sum)
        scores = (x @ self.linear + self.intercept, counts @ self.log_shares + self.log_prior)
        return np.mean([softmax(s, axis=1) for s in scores], axis=0).astype(np.float32)


def held_out_votes(
    cells: Cells, codes: np.ndarray, n_classes: int, target_sum: float
) -> np.ndarray:
    """Return the votes on each cell of classifiers that were not fitted to it, ``(n, n_classes)``.

    Not a number where RNA was not measured, or where the other cells are of one class.
    """
    found = np.full((len(codes), n_classes), np.nan, np.float32)
    known = np.flatnonzero(cells.measured[RNA])
    folds = stratified_folds(codes[known], _FOLDS, 0) if len(known) >= _FOLDS else known[:0]
    for fold in np.unique(folds):
        mine, others = known[folds == fold], known[folds != fold]
        if len(np.unique(codes[others])) > 1:
            counts = cells.counts[RNA]
            fitted = GeneVotes.of(counts[others], codes[others], n_classes, target_sum)
            found[mine] = fitted(counts[mine])
    return found


def share_of_genes(
    by_heads: np.ndarray, by_genes: np.ndarray, codes: np.ndarray, preferred: float
) -> float:
    """Return how much votes of genes count: what suits cells that nobody was fitted to.

    Heads need embeddings of cells like these, genes many labels; which is better off differs.

    Parameters
    ----------
    by_heads, by_genes
        Probabilities of cells that were held out, ``(n, n_classes)``.
    codes
        Their classes, ``(n,)``.
    preferred
        The share to take, unless another one names more cells rightly by more than two standard
        errors of the difference; then the nearest of those that are as good. Not the best one,
        because the model knows these cells, and heads do better on them than on others.
    """
    shares = np.unique([*_SHARES, preferred])
    right = np.stack(
        [with_votes(by_heads, by_genes, s).argmax(1) == codes for s in shares], 1
    ).astype(float)  # (n, n_shares)
    behind = right[:, [right.mean(0).argmax()]] - right
    error = behind.std(0) / max(len(codes), 1) ** 0.5
    as_good = shares[behind.mean(0) <= 2 * error]
    return float(as_good[np.abs(as_good - preferred).argmin()])


def with_votes(by_heads: np.ndarray, by_genes: np.ndarray, share: float) -> np.ndarray:
    """Average probabilities ``(n, n_classes)``; where genes say nothing, heads alone speak."""
    both = (1 - share) * by_heads + share * by_genes
    return np.where(np.isnan(by_genes), by_heads, both).astype(np.float32)


def _thinned(codes: np.ndarray) -> np.ndarray:
    """Return so many cells as are enough, evenly spaced in each class; all of a rare one."""
    step = -(-len(codes) // _MOST_CELLS)
    return every_nth(codes, np.clip(np.bincount(codes) // _LEAST_OF_A_CLASS, 1, step))


def _telling_genes(x: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
    """Return the genes whose expression differs most between classes, sorted."""
    if x.shape[1] <= _MOST_GENES:
        return np.arange(x.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Features .* are constant")
        ratio = f_classif(x, codes)[0]
    order = np.argsort(-np.nan_to_num(ratio, nan=0.0, posinf=0.0), kind="stable")
    return np.sort(order[:_MOST_GENES])
