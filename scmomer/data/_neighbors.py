"""Nearest neighbors between two sets of cells."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

_MAX_EXACT = 20_000  # cells, above which building an index pays off


def nearest(query: np.ndarray, index: np.ndarray, k: int, random_state: int) -> np.ndarray:
    """Return the nearest cells of `index`, closest first: exact for few cells, else by pynndescent.

    Parameters
    ----------
    query, index
        Shapes ``(n_query, n_dims)`` and ``(n_index, n_dims)``; Euclidean distance.
    k
        Number of neighbors, at most ``n_index``.
    random_state
        Seed of the approximate index.

    Returns
    -------
    numpy.ndarray
        Positions in `index`, ``(n_query, k)``.
    """
    if not len(query):
        return np.empty((0, k), np.intp)
    if len(index) <= _MAX_EXACT or k > len(index) // 4:
        tree = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(index)
        return tree.kneighbors(query, return_distance=False)
    from pynndescent import NNDescent  # slow import

    graph = NNDescent(index, n_neighbors=max(k, 30), random_state=random_state)
    return graph.query(query, k=k, epsilon=0.2)[0].astype(np.intp)
