"""How far cells are from the types of a reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf

_AT_ONCE = 20_000  # cells whose distances to all centres are held in memory
_LEAST = 1e-6  # of the mean variance; directions in which no class varies must not count for all


@dataclass(frozen=True)
class ClassCentres:
    """Centres of a reference's classes, in units of how cells vary around them.

    The Mahalanobis distance to the nearest centre, with one covariance for all classes (Lee et al.,
    2018, "A simple unified framework for detecting out-of-distribution samples", without their
    fine-tuning). Directions in which types differ count for more than those in which their cells
    do, which distances between cells do not know.
    """

    centres: np.ndarray
    """In the space of :attr:`whiten`, ``(n_classes, n_latent)``, float32."""
    whiten: np.ndarray
    """``z @ whiten`` varies by one within classes, ``(n_latent, n_latent)``, float32."""
    scale: float
    """Distance of the median reference cell."""
    spread: np.ndarray
    """Novelty of reference cells that had no part in their class's centre, sorted, ``(n,)``."""

    @classmethod
    def of(cls, z: np.ndarray, codes: np.ndarray) -> ClassCentres:
        """Fit to a reference.

        Parameters
        ----------
        z, codes
            Embeddings ``(n, n_latent)`` and classes ``(n,)``, at least two cells of each.
        """
        n = np.bincount(codes)
        of_class = sp.csr_matrix((1 / n[codes], (codes, np.arange(len(codes)))))
        centres = (of_class @ z).astype(np.float32)  # (n_classes, n_latent)
        covariance = LedoitWolf(assume_centered=True).fit(z - centres[codes]).covariance_
        variances, axes = np.linalg.eigh(covariance)
        least = max(_LEAST * float(variances.mean()), 1e-12)
        whiten = (axes / np.sqrt(np.maximum(variances, least))).astype(np.float32)
        centres = centres @ whiten
        own = np.empty(len(z))
        for rows, found in _distances(z, whiten, centres):
            mine = codes[rows]
            # Without the cell itself the centre of its class would be that much further away.
            found[np.arange(len(mine)), mine] *= n[mine] / (n[mine] - 1)
            own[rows] = found.min(1)
        scale = max(float(np.median(own)), 1e-12)
        return cls(centres, whiten, scale, np.sort(own / scale).astype(np.float32))

    def novelty(self, z: np.ndarray) -> np.ndarray:
        """Return the distance to the nearest centre in units of `scale`, ``(n,)``, float32."""
        out = np.empty(len(z), np.float32)
        for rows, found in _distances(z, self.whiten, self.centres):
            out[rows] = found.min(1) / self.scale
        return out


def _distances(
    z: np.ndarray, whiten: np.ndarray, centres: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of cells and their distances to all centres, ``(n_slice, n_classes)``."""
    for start in range(0, len(z), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        yield rows, cdist(z[rows] @ whiten, centres)
