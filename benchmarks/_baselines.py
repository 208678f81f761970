"""Predictors of accessibility from RNA that a model has to beat.

Each takes raw counts, cells in rows, and returns a float32 array ``(n_test, n_peaks)`` of
probabilities that a peak is open (for :func:`linear`, estimates that may leave [0, 1]).
"""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler


def train_mean(
    rna_train: sparse.csr_matrix, atac_train: sparse.csr_matrix, rna_test: sparse.csr_matrix
) -> NDArray[np.float32]:
    """Share of training cells in which each peak is open, the same for all test cells."""
    mean = _group_means(_binarise(atac_train), np.zeros(atac_train.shape[0], dtype=np.intp), 1)
    return np.repeat(mean, rna_test.shape[0], axis=0)


def cell_type_mean(
    atac_train: sparse.csr_matrix, labels_train: ArrayLike, labels_test: ArrayLike
) -> NDArray[np.float32]:
    """Share of training cells of the same label in which each peak is open.

    An oracle: it is told the labels of the test cells. A label without training cells gets the
    share among all of them.
    """
    opened = _binarise(atac_train)
    codes, names = pd.factorize(np.asarray(labels_train))
    means = _group_means(opened, codes, len(names))  # (n_labels, n_peaks)
    overall = _group_means(opened, np.zeros_like(codes), 1)
    # An unknown label has the index -1, the last row.
    return np.vstack([means, overall])[pd.Index(names).get_indexer(np.asarray(labels_test))]


def knn(
    rna_train: sparse.csr_matrix,
    atac_train: sparse.csr_matrix,
    rna_test: sparse.csr_matrix,
    *,
    k: int = 50,
    n_comps: int = 50,
) -> NDArray[np.float32]:
    """Share of the ``k`` training cells nearest in RNA PCs in which each peak is open."""
    train_pcs, test_pcs = rna_pca(rna_train, rna_test, n_comps)
    graph = NearestNeighbors(n_neighbors=k).fit(train_pcs).kneighbors_graph(test_pcs)
    return (graph.astype(np.float32) @ _binarise(atac_train)).toarray() / np.float32(k)


def linear(
    rna_train: sparse.csr_matrix,
    atac_train: sparse.csr_matrix,
    rna_test: sparse.csr_matrix,
    *,
    rank: int = 64,
    n_comps: int = 50,
) -> NDArray[np.float32]:
    """Least squares from RNA PCs to the first ``rank`` SVD components of centred open peaks."""
    train_pcs, test_pcs = rna_pca(rna_train, rna_test, n_comps)
    svd = PCA(rank, svd_solver="arpack", random_state=0)
    components = svd.fit_transform(_binarise(atac_train))  # (n_train, rank)
    predicted = LinearRegression().fit(train_pcs, components).predict(test_pcs)
    return svd.inverse_transform(predicted).astype(np.float32)


def rna_depth(rna_test: sparse.csr_matrix, n_peaks: int) -> NDArray[np.float32]:
    """Total RNA count of the cell at every peak: what sequencing depth alone can rank."""
    total = np.asarray(rna_test.sum(1), dtype=np.float32).reshape(-1, 1)
    return np.repeat(total, n_peaks, axis=1)


def rna_pca(
    rna_train: sparse.csr_matrix,
    rna_test: sparse.csr_matrix,
    n_comps: int = 50,
    *,
    target_sum: float | None = 1e4,
    scale: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """PCs of log-normalised counts, fitted on the training cells.

    Parameters
    ----------
    rna_train, rna_test
        Raw counts.
    n_comps
        Number of components.
    target_sum
        Counts per cell after normalisation; None for the median of the training cells.
    scale
        Divide genes by their standard deviation among the training cells.

    Returns
    -------
    Of the training cells ``(n_train, n_comps)`` and, centred and rotated alike, of the test cells
    ``(n_test, n_comps)``.
    """
    if target_sum is None:
        target_sum = float(np.median(np.asarray(rna_train.sum(1))))
    train, test = log_normalise(rna_train, target_sum), log_normalise(rna_test, target_sum)
    if scale:
        scaler = StandardScaler(with_mean=False).fit(train)
        train, test = scaler.transform(train), scaler.transform(test)
    pca = PCA(n_comps, svd_solver="arpack", random_state=0)
    return pca.fit_transform(train), pca.transform(test)


def log_normalise(counts: sparse.csr_matrix, target_sum: float = 1e4) -> sparse.csr_matrix:
    """``log(1 + counts per target_sum)``, of the shape of ``counts``, which stay as they are."""
    adata = ad.AnnData(counts.astype(np.float32, copy=True))
    sc.pp.normalize_total(adata, target_sum=target_sum)
    sc.pp.log1p(adata)
    return adata.X


def _binarise(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """1 where a peak is open."""
    return (counts > 0).astype(np.float32)


def _group_means(
    matrix: sparse.csr_matrix, codes: NDArray[np.intp], n_groups: int
) -> NDArray[np.float32]:
    """Mean row of each group of cells, ``(n_groups, n_peaks)``; a code of -1 belongs to none."""
    cells = np.flatnonzero(codes >= 0)
    weights = 1 / np.bincount(codes[cells], minlength=n_groups)[codes[cells]]
    shape = (n_groups, matrix.shape[0])
    average = sparse.csr_matrix((weights.astype(np.float32), (codes[cells], cells)), shape=shape)
    return (average @ matrix).toarray()
