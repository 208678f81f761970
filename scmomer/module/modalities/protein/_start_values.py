"""Start values of surface protein, from the training cells."""

from __future__ import annotations

import numpy as np
import torch

_DISPERSION = (0.1, 100.0)


def dispersions(table: np.ndarray, average: np.ndarray) -> np.ndarray:
    """Return each protein's inverse dispersion by the method of moments, ``(n_proteins,)``."""
    excess = np.maximum(table.var(0) - average, 1e-6)
    return np.clip(average**2 / excess, *_DISPERSION)


def protein_components(
    ratios: np.ndarray, mean: np.ndarray, std: np.ndarray, n_components: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights ``(n_proteins, k)`` and bias ``(k,)`` of components of scaled log ratios.

    The first has standard deviation 1.
    """
    scaled = (ratios - mean) / std
    k = max(0, min(n_components, *(n - 1 for n in scaled.shape)))
    _, s, vt = np.linalg.svd(scaled, full_matrices=False)
    spread = max(float(s[0]) / len(scaled) ** 0.5, 1e-6)
    vectors = vt[:k].T / spread
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(k)])
    weights = vectors / std[:, None]
    return torch.from_numpy(weights).float(), torch.from_numpy(-mean @ weights).float()
