"""Stacking: the weights of several classifiers, found on cells that they were not fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

FLOOR = 1e-4  # of probabilities, so that no classifier alone can rule a class out
_PRIOR = 10.0  # strength of the pull to equal weights, which counts if there are few cells
_CLASS_WEIGHT = 0.5  # power of the inverse frequency, as in the training of the heads


def fit_weights(probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the weights, at least 0, under which the classes of held-out cells are most probable.

    The classifiers are combined as in Heskes, 1998, "Selecting weighting factors in logarithmic
    opinion pools", with weights of free sum: it calibrates what they are jointly too sure or too
    unsure of. The problem is convex.

    Parameters
    ----------
    probabilities
        Of held-out cells, ``(n_classifiers, n_cells, n_classes)``.
    codes
        Their classes, ``(n_cells,)``.

    Returns
    -------
    Shape ``(n_classifiers,)``.
    """
    logs, n = _logs(probabilities), len(codes)
    equal = np.full(len(logs), 1 / len(logs))
    if n == 0:
        return equal
    counts = np.bincount(codes)
    share = (1 / counts[codes]) ** _CLASS_WEIGHT
    share = share / share.sum()
    rows = np.arange(n)
    true = logs[:, rows, codes]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        found = log_softmax(np.tensordot(weights, logs, 1), axis=1)
        expected = np.einsum("nc,knc->kn", np.exp(found), logs)
        pull = weights - equal
        value = -share @ found[rows, codes] + _PRIOR / n * pull @ pull
        return float(value), (expected - true) @ share + 2 * _PRIOR / n * pull

    bounds = [(0, None)] * len(logs)
    return minimize(loss, equal, jac=True, bounds=bounds, method="L-BFGS-B").x


def combine(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted product of probabilities, normalized, ``(n_cells, n_classes)`` float32."""
    return softmax(np.tensordot(weights, _logs(probabilities), 1), axis=1).astype(np.float32)


@dataclass(frozen=True)
class Stack:
    """Weights of classifiers on the embedding and, for cells with RNA, of those on genes too."""

    weights: np.ndarray
    """Of all classifiers, those on the embedding first; empty without classifiers on genes."""
    of_embedding: np.ndarray
    """Of the classifiers on the embedding, for cells that lack RNA."""

    @classmethod
    def fit(cls, by_embedding: np.ndarray, by_genes: np.ndarray | None, codes: np.ndarray) -> Stack:
        """Fit to probabilities of held-out cells, ``(n_classifiers, n_cells, n_classes)`` each.

        Those by genes are NaN in cells without RNA; None if no classifier reads genes.
        """
        weights = np.zeros(0)
        if by_genes is not None:
            known = ~np.isnan(by_genes).any((0, 2))
            every = np.concatenate([by_embedding, by_genes])
            weights = fit_weights(every[:, known], codes[known])
        return cls(weights, fit_weights(by_embedding, codes))

    def predict_proba(self, by_embedding: np.ndarray, by_genes: np.ndarray | None) -> np.ndarray:
        """Combine probabilities as in :meth:`fit`; ``(n_cells, n_classes)``, float32."""
        found = combine(by_embedding, self.of_embedding)
        if by_genes is not None:
            known = ~np.isnan(by_genes).any((0, 2))
            every = np.concatenate([by_embedding, by_genes])
            found[known] = combine(every[:, known], self.weights)
        return found


def _logs(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities.astype(np.float64), FLOOR))
