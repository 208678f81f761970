"""Features of a pair that do not depend on the order of its genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.pipeline import Pipeline

from scmomer.tasks.genes._classifiers import Split, fit_logistic, probability

# A multilayer perceptron on the symmetric features was no better on new genes.
Head = Literal["symmetric", "similarity", "bilinear", "concatenated"]
_RANK = 20  # principal components in the bilinear form
_CHUNK = 20_000  # pairs whose features are in memory at once in prediction


@dataclass(frozen=True)
class PairFeatures:
    """Features of pairs from standardized vectors."""

    head: Head
    center: np.ndarray
    """``(dim,)``"""
    basis: np.ndarray
    """Scales of dimensions ``(dim,)``, or whitened components ``(dim, rank)``."""

    def __call__(self, vectors: np.ndarray, genes: np.ndarray) -> np.ndarray:
        """Return features, float32 ``(n_pairs, n_features)``.

        Parameters
        ----------
        vectors
            Embeddings ``(n_genes, dim)``.
        genes
            Positions of the genes of each pair ``(n_pairs, 2)``.
        """
        x = vectors - self.center
        x = (x @ self.basis if self.basis.ndim == 2 else x * self.basis).astype(np.float32)
        a, b = x[genes[:, 0]], x[genes[:, 1]]
        if self.head == "symmetric":
            return np.concatenate([a + b, np.abs(a - b), a * b], axis=1)
        if self.head == "concatenated":
            # Logistic regression on [a, b], fitted to both orders, has the same weights for both:
            # the loss is convex and does not change if they are exchanged.
            return a + b
        if self.head == "similarity":
            norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
            cosine = (a * b).sum(1) / np.maximum(norms, 1e-12)
            return np.stack([cosine, np.linalg.norm(a - b, axis=1)], axis=1)
        i, j = np.triu_indices(a.shape[1])
        return a[:, i] * b[:, j] + a[:, j] * b[:, i]


def pair_features(head: Head, vectors: np.ndarray) -> PairFeatures:
    """Return the features of a head, standardized on the genes of `vectors`, ``(n_genes, dim)``."""
    center = vectors.mean(axis=0)
    spread = vectors.std(axis=0)
    scale = np.where(spread > 0, 1 / np.where(spread > 0, spread, 1), 0)
    if head != "bilinear":
        return PairFeatures(head, center, scale)
    x = (vectors - center) * scale
    _, singular, components = np.linalg.svd(x, full_matrices=False)
    kept = min(_RANK, int((singular > 1e-6 * singular.max(initial=1e-12)).sum()))
    whitened = components[:kept].T * np.sqrt(len(x)) / singular[:kept]
    return PairFeatures(head, center, scale[:, None] * whitened)


@dataclass(frozen=True)
class PairClassifier:
    """Logistic regression on the features of pairs."""

    features: PairFeatures
    model: Pipeline

    def __call__(self, vectors: np.ndarray, genes: np.ndarray) -> np.ndarray:
        """Return the probability of interaction of each pair, ``(n_pairs,)``."""
        chunks = [genes[i : i + _CHUNK] for i in range(0, len(genes), _CHUNK)]
        found = [probability(self.model, self.features(vectors, chunk)) for chunk in chunks]
        return np.concatenate(found) if found else np.zeros(0)


def fit_pairs(
    head: Head, vectors: np.ndarray, genes: np.ndarray, y: np.ndarray, inner: list[Split]
) -> PairClassifier:
    """Return a classifier of pairs.

    Parameters
    ----------
    head
        Features of pairs.
    vectors
        Embeddings ``(n_genes, dim)``.
    genes, y
        Pairs ``(n_pairs, 2)`` and classes ``(n_pairs,)``.
    inner
        Splits of the pairs to choose C.
    """
    features = pair_features(head, vectors)
    return PairClassifier(features, fit_logistic(features(vectors, genes), y, inner))
