"""Blocks of neighboring peaks that open together."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from scmomer.data import PeakPositions


def correlated_blocks(
    vectors: np.ndarray, peaks: PeakPositions, used: np.ndarray, distance: int, threshold: float
) -> np.ndarray:
    """Return the block of each peak: peaks joined by correlations of at least `threshold`.

    Parameters
    ----------
    vectors
        Of :func:`loadings`, whose products are correlations, ``(n_peaks, n_components)``.
    peaks
        Coordinates, ``(n_peaks,)``.
    used
        Peaks that take part, ``(n_peaks,)`` bool.
    distance
        Largest distance of the middles of two peaks that are compared, in base pairs.
    threshold
        Correlation, in (0, 1].

    Returns
    -------
    numpy.ndarray
        Number of the block of each peak in genomic order, ``(n_peaks,)`` int64; a peak alone has a
        block of its own, and one that takes no part has -1.
    """
    center = (peaks.start + peaks.end) // 2
    order = np.lexsort((center, peaks.chromosome))
    order = order[used[order]]
    place, chromosome, vector = center[order], peaks.chromosome[order], vectors[order]
    one, other = [], []
    for lag in range(1, len(order)):
        near = place[lag:] - place[:-lag] <= distance
        first = np.flatnonzero(near & (chromosome[lag:] == chromosome[:-lag]))
        if not len(first):
            break  # further peaks are further away
        alike = np.einsum("ij,ij->i", vector[first], vector[first + lag]) >= threshold
        one.append(first[alike])
        other.append(first[alike] + lag)
    rows = np.concatenate(one) if one else np.empty(0, np.int64)
    columns = np.concatenate(other) if other else np.empty(0, np.int64)
    graph = sp.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(order),) * 2)
    label = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    block = np.full(len(center), -1)
    block[order] = np.argsort(np.argsort(first))[inverse]
    return block
