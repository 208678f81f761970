"""Distance of cells to the types of a reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf

from scmomer.data import group_indicator

_CELLS_PER_BLOCK = 20_000  # whose distances to all centers are in memory at once
_MIN_EIGENVALUE = 1e-6  # of the mean one, so that directions without variance do not dominate


@dataclass(frozen=True)
class ClassMahalanobis:
    """Mahalanobis distance to the nearest class, with one covariance for all classes.

    As in Lee et al., 2018, "A simple unified framework for detecting out-of-distribution samples",
    without their fine-tuning. Unlike plain distances, it weights directions that separate types
    over those that vary within types.
    """

    centers: np.ndarray
    """Class means in the space of :attr:`whiten`, ``(n_classes, n_latent)``, float32."""
    whiten: np.ndarray
    """``z @ whiten`` has unit variance within classes, ``(n_latent, n_latent)``, float32."""
    scale: float
    """Distance of the median reference cell."""
    reference_novelty: np.ndarray
    """Novelty of each reference cell, its class mean without the cell itself; sorted, ``(n,)``."""

    @classmethod
    def fit(cls, z: np.ndarray, codes: np.ndarray) -> ClassMahalanobis:
        """Fit to embeddings ``(n, n_latent)`` and classes ``(n,)``, at least two cells of each."""
        n = np.bincount(codes)
        centers = (group_indicator(codes, len(n)) @ z / n[:, None]).astype(np.float32)
        covariance = LedoitWolf(assume_centered=True).fit(z - centers[codes]).covariance_
        variances, axes = np.linalg.eigh(covariance)
        smallest = max(_MIN_EIGENVALUE * float(variances.mean()), 1e-12)
        whiten = (axes / np.sqrt(np.maximum(variances, smallest))).astype(np.float32)
        centers = centers @ whiten
        nearest = np.empty(len(z))
        for rows, distances in _distances(z, whiten, centers):
            own = codes[rows]
            # Without the cell, the mean of its class would be further away by this factor.
            distances[np.arange(len(own)), own] *= n[own] / (n[own] - 1)
            nearest[rows] = distances.min(1)
        scale = max(float(np.median(nearest)), 1e-12)
        return cls(centers, whiten, scale, np.sort(nearest / scale).astype(np.float32))

    def novelty(self, z: np.ndarray) -> np.ndarray:
        """Return the distance to the nearest center in units of `scale`, ``(n,)``, float32."""
        out = np.empty(len(z), np.float32)
        for rows, distances in _distances(z, self.whiten, self.centers):
            out[rows] = distances.min(1) / self.scale
        return out


def _distances(
    z: np.ndarray, whiten: np.ndarray, centers: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of cells and their distances to all centers, ``(n_slice, n_classes)``."""
    for start in range(0, len(z), _CELLS_PER_BLOCK):
        rows = slice(start, start + _CELLS_PER_BLOCK)
        yield rows, cdist(z[rows] @ whiten, centers)
