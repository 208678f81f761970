"""Graphs over genes as index tensors: by shared gene sets, and by co-expression."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

_NEIGHBORS: Final = 20
_MIN_JACCARD: Final = 0.1
_MIN_CORRELATION: Final = 0.4


def similarity_graph(
    similarity: np.ndarray, least: float, neighbors: int = _NEIGHBORS
) -> tuple[Tensor, Tensor]:
    """Return the edges of each node from its most similar ones, and from itself.

    Parameters
    ----------
    similarity
        ``(n_nodes, n_nodes)``
    least
        Similarity that an edge exceeds.
    neighbors
        Maximum number of edges to a node, beside that from itself.

    Returns
    -------
    tuple
        Indices ``(2, n_edges)`` of target and source nodes, and weights ``(n_edges,)`` that sum to
        1 for each target.
    """
    n = len(similarity)
    values = similarity - np.diag(np.diag(similarity))
    order = np.argsort(-values, axis=1, kind="stable")[:, : min(neighbors, max(n - 1, 0))]
    target = np.repeat(np.arange(n), order.shape[1])
    source = order.ravel()
    kept = values[target, source] > least
    target = np.concatenate([np.arange(n), target[kept]])
    source = np.concatenate([np.arange(n), source[kept]])
    weight = np.where(target == source, 1.0, values[target, source])
    weight = weight / np.bincount(target, weight, n)[target]
    return torch.tensor(np.stack([target, source])), torch.tensor(weight, dtype=torch.float32)


def jaccard_graph(members: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the graph of genes that share sets.

    Parameters
    ----------
    members
        Membership in sets, ``(n_genes, n_sets)``; above 0 for members.
    """
    inside = (members > 0).astype(np.float64)
    both = inside @ inside.T
    size = np.diag(both)
    union = size[:, None] + size[None] - both
    return similarity_graph(np.divide(both, union, where=union > 0, out=0 * both), _MIN_JACCARD)


def coexpression_graph(profiles: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the graph of genes whose profiles correlate, in either direction.

    Parameters
    ----------
    profiles
        Cells or pseudobulks x genes, ``(n_rows, n_genes)``.
    """
    centered = profiles - profiles.mean(axis=0)
    length = np.linalg.norm(centered, axis=0)
    scaled = centered / np.where(length > 0, length, np.inf)
    return similarity_graph(np.abs(scaled.T @ scaled), _MIN_CORRELATION)
