"""Scores of links: what the activity of a gene and of a peak have in common in an embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

_MIN_SPREAD = 1e-4  # of a component, relative to the largest one
_CELLS_PER_COMPONENT = 10  # fewer cells than this do not determine a component
_BLOCK = 2**22  # numbers at a time


@dataclass(frozen=True)
class LinkFactors:
    """Any score that is a product of a vector of the gene and a vector of the peak."""

    gene: np.ndarray
    """Shape ``(n_genes, n_components)``."""
    peak: np.ndarray
    """Shape ``(n_peaks, n_components)``."""

    def pairs(self, gene: np.ndarray, peak: np.ndarray) -> np.ndarray:
        """Return the scores of single pairs of positions, ``(n_pairs,)``."""
        out = np.empty(len(gene))
        step = max(1, _BLOCK // max(1, self.gene.shape[1]))
        for start in range(0, len(gene), step):
            some = slice(start, start + step)
            out[some] = np.einsum("ij,ij->i", self.gene[gene[some]], self.peak[peak[some]])
        return out

    def table(self, genes: np.ndarray, peaks: np.ndarray) -> np.ndarray:
        """Return the scores of all pairs of these, ``(n_genes, n_peaks)``."""
        return self.gene[genes] @ self.peak[peaks].T


def components(z: np.ndarray, nuisance: np.ndarray) -> np.ndarray:
    """Return uncorrelated directions of an embedding, of mean 0 and variance 1.

    Parameters
    ----------
    z
        Embedding, ``(n_cells, n_latent)``.
    nuisance
        What the directions must not follow: ones, or indicators of groups; further columns, such
        as log depth, ``(n_cells, n_nuisance)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_cells, n_components)``, at most one component for ten cells.
    """
    n = len(z)
    left = z - nuisance @ np.linalg.lstsq(nuisance, z, rcond=None)[0]
    u, spread, _ = np.linalg.svd(left, full_matrices=False)
    kept = spread > _MIN_SPREAD * max(spread.max(initial=0), 1e-12)
    return u[:, kept][:, : max(1, n // _CELLS_PER_COMPONENT)] * np.sqrt(n)


def loadings(values: sp.csr_matrix, directions: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the correlation of each feature with each direction, shrunk for noise.

    The product of the loadings of two features is the correlation of their projections onto the
    directions. In `n` cells, a feature that is independent of the embedding correlates with each
    of `k` directions by chance, with an expected sum of squares of ``k / n``, which is added to the
    squared norm: features about which little is known get short vectors.

    Parameters
    ----------
    values
        Shape ``(n_cells, n_features)``.
    directions
        Of :func:`components`, ``(n_cells, n_components)``.
    groups
        Indicators of groups whose means are removed, ``(n_cells, n_groups)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_features, n_components)``, float32; 0 for constant features.
    """
    n, k = directions.shape
    size = groups.sum(0)
    means = np.asarray(values.T @ groups) / size  # (n_features, n_groups)
    squares = np.asarray(values.multiply(values).sum(0)).ravel()
    variance = np.maximum(squares - (means**2) @ size, 0) / n
    centered = directions - groups @ (groups.T @ directions / size[:, None])
    covariance = np.asarray(values.T @ centered) / n
    safe = np.where(variance > 1e-12, variance, np.inf)
    found = covariance / np.sqrt(safe)[:, None]
    return shrunk(found, k / n).astype(np.float32)


def shrunk(vectors: np.ndarray, noise: float) -> np.ndarray:
    """Return vectors divided by the root of their squared norm plus `noise`; 0 stays 0."""
    length = np.sqrt((vectors**2).sum(1, keepdims=True) + noise)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def log_expression(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return the log of counts at the median total of the cells, ``log(1 + x)``."""
    total = np.asarray(counts.sum(1)).ravel()
    target = np.median(total[total > 0]) if (total > 0).any() else 1.0
    scaled = (sp.diags(target / np.maximum(total, 1)) @ counts).tocsr()
    scaled.data = np.log1p(scaled.data)
    return scaled


def opened(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return 1 for peaks with counts."""
    found = counts.astype(np.float32, copy=True)
    found.data[:] = found.data > 0
    return found
