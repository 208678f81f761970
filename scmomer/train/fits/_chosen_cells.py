"""Cells that closed-form fits read, and least squares on them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from scmomer.data import Cells

_RIDGE = 1e-3  # of the mean variance of a dimension


def cells_with(
    cells: Cells, train: np.ndarray, modalities: tuple[str, ...], most: int
) -> np.ndarray:
    """Return the `train` cells with all `modalities`, sorted, every k-th so that `most` are left."""
    return thinned(train, cells.has_all(*modalities), most)


def thinned(train: np.ndarray, is_wanted: np.ndarray, most: int) -> np.ndarray:
    """Return the `train` cells that are wanted, sorted, every k-th so that `most` are left."""
    chosen = np.sort(train[is_wanted[train]])
    return chosen[:: max(1, -(-len(chosen) // most))]


def batch_of(cells: Cells, chosen: np.ndarray) -> np.ndarray | None:
    """Return the batch of each chosen cell, None if batches are not known."""
    return None if cells.batch is None else cells.batch[chosen]


def center_within(values: np.ndarray, batch: np.ndarray | None) -> np.ndarray:
    """Return ``(n, d)`` less the mean of each cell's batch, ``(n,)``; of all cells for None."""
    if batch is None:
        return values - values.mean(0)
    centered = values.copy()
    for one in np.unique(batch):
        centered[batch == one] -= values[batch == one].mean(0)
    return centered


def slopes_within(
    z: np.ndarray, targets: np.ndarray | sp.csr_matrix, batch: np.ndarray | None
) -> np.ndarray:
    """Return the ridge regression of `targets` on `z` within batches, ``(n_targets, d)``."""
    z = center_within(z, batch)
    gram = z.T @ z
    gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    return (targets.T @ z) @ np.linalg.inv(gram)
