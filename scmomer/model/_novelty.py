"""How far cells are from a reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from scmomer.model._thinning import every_nth

N_NEIGHBORS = 15
_PER_CLASS = 2000  # reference cells kept of a class: the region of a frequent type is known by then


@dataclass(frozen=True)
class Landmarks:
    """Embeddings of reference cells, and how far these are from each other."""

    z: np.ndarray
    """Shape ``(n_landmarks, n_latent)``, float32."""
    scale: float
    """Mean distance of the median landmark to its nearest other ones."""
    spread: np.ndarray
    """Novelty of landmarks among the others, sorted, ``(n_landmarks,)``, float32."""

    @classmethod
    def of(cls, z: np.ndarray, codes: np.ndarray) -> Landmarks:
        """Keep reference cells, evenly spaced among those of each class.

        Parameters
        ----------
        z, codes
            Embeddings ``(n, n_latent)`` and classes ``(n,)``.
        """
        chosen = every_nth(codes, -(-np.bincount(codes) // _PER_CLASS))
        kept = np.ascontiguousarray(z[chosen], np.float32)
        nearest = _neighbors(kept, min(N_NEIGHBORS, len(kept) - 1))
        own = nearest.kneighbors()[0].mean(1)
        scale = max(float(np.median(own)), 1e-12)
        return cls(kept, scale, np.sort(own / scale).astype(np.float32))

    def novelty(self, z: np.ndarray) -> np.ndarray:
        """Return the mean distance to the nearest landmarks in units of `scale`, ``(n,)``."""
        if not len(z):
            return np.zeros(0, np.float32)
        nearest = _neighbors(self.z, min(N_NEIGHBORS, len(self.z)))
        return (nearest.kneighbors(z)[0].mean(1) / self.scale).astype(np.float32)


def _neighbors(z: np.ndarray, k: int) -> NearestNeighbors:
    # Exact, which is deterministic, and fast enough: the landmarks of many cells are few.
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(z)
