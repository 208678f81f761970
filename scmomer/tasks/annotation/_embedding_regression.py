"""Regression on the embedding, beside the heads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from scmomer.tasks.annotation._regression import N_FOLDS, fit_cells, l2_of_standardized
from scmomer.tasks.annotation._train import stratified_folds

_TOL = 1e-4  # an early stop would be a stronger penalty


@dataclass(frozen=True)
class EmbeddingRegression:
    """L2 regression on the standardized fused embedding, which all cells have.

    Linear weights need fewer cells than the heads and have no noise on their inputs, which deep
    cells do not need.
    """

    coef: np.ndarray
    """Shape ``(n_latent, n_classes)``, float32."""
    intercept: np.ndarray
    """Shape ``(n_classes,)``, float32; minus infinity for a class without cells."""

    @classmethod
    def fit(cls, z: np.ndarray, codes: np.ndarray, n_classes: int) -> EmbeddingRegression:
        """Fit to embeddings ``(n, n_latent)`` and classes ``(n,)``, at least two."""
        kept = fit_cells(codes)
        z, codes = z[kept].astype(np.float64), codes[kept]
        present = np.unique(codes)
        coef = np.zeros((z.shape[1], n_classes), np.float32)
        intercept = np.full(n_classes, -np.inf, np.float32)
        coef[:, present], intercept[present] = l2_of_standardized(z, codes, _TOL)
        return cls(coef, intercept)

    def predict_proba(self, z: np.ndarray) -> np.ndarray:
        """Return the probability of each class, ``(n, n_classes)``, float32."""
        return softmax(z @ self.coef + self.intercept, axis=1).astype(np.float32)


def held_out_by_embedding(z: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return probabilities of cells by regressions fitted to the other folds."""
    found = np.zeros((len(z), n_classes), np.float32)
    folds = stratified_folds(codes, N_FOLDS, 0)
    for fold in range(N_FOLDS):
        held_out = folds == fold
        fitted = EmbeddingRegression.fit(z[~held_out], codes[~held_out], n_classes)
        found[held_out] = fitted.predict_proba(z[held_out])
    return found
