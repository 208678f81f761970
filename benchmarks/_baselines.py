"""Baseline predictors of accessibility from RNA.

Each takes raw counts, cells in rows, and returns a float32 array ``(n_test, n_peaks)`` of
probabilities that a peak is open (for :func:`linear`, estimates that may leave [0, 1]).
"""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn


def train_mean(
    rna_train: sparse.csr_matrix, atac_train: sparse.csr_matrix, rna_test: sparse.csr_matrix
) -> NDArray[np.float32]:
    """Share of training cells in which each peak is open, the same for all test cells."""
    mean = _group_means(_binarize(atac_train), np.zeros(atac_train.shape[0], dtype=np.intp), 1)
    return np.repeat(mean, rna_test.shape[0], axis=0)


def cell_type_mean(
    atac_train: sparse.csr_matrix, labels_train: ArrayLike, labels_test: ArrayLike
) -> NDArray[np.float32]:
    """Share of training cells of the same label in which each peak is open.

    An oracle: it uses the labels of the test cells. A label without training cells gets the share
    among all training cells.
    """
    opened = _binarize(atac_train)
    codes, names = pd.factorize(np.asarray(labels_train))
    means = _group_means(opened, codes, len(names))  # (n_labels, n_peaks)
    overall = _group_means(opened, np.zeros_like(codes), 1)
    # An unknown label has index -1, the last row.
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
    return neighbor_mean(train_pcs, _binarize(atac_train), test_pcs, k)


def linear(
    rna_train: sparse.csr_matrix,
    atac_train: sparse.csr_matrix,
    rna_test: sparse.csr_matrix,
    *,
    rank: int = 64,
    n_comps: int = 50,
) -> NDArray[np.float32]:
    """Least squares from RNA PCs to the first ``rank`` SVD components of centered open peaks."""
    train_pcs, test_pcs = rna_pca(rna_train, rna_test, n_comps)
    svd = PCA(rank, svd_solver="arpack", random_state=0)
    components = svd.fit_transform(_binarize(atac_train))  # (n_train, rank)
    predicted = LinearRegression().fit(train_pcs, components).predict(test_pcs)
    return svd.inverse_transform(predicted).astype(np.float32)


class Perceptron:
    """Scaled features -> hidden -> rank -> peaks, dropout, one-cycle schedule.

    The strongest simple baseline: binary cross-entropy over all peaks, ten epochs of AdamW.
    """

    def __init__(self, n_in: int, rate: NDArray[np.float32], hidden: int, rank: int, drop: float):
        self.body = nn.Sequential(
            nn.Linear(n_in, hidden), nn.ReLU(), nn.Dropout(drop), nn.Linear(hidden, rank)
        )
        self.out = nn.Linear(rank, len(rate))
        nn.init.normal_(self.out.weight, std=0.02)
        self.out.bias.data.copy_(torch.from_numpy(np.log(rate / (1 - rate))))
        self.both = nn.Sequential(self.body, self.out)

    def fit(self, x: Tensor, opened: sparse.csr_matrix, epochs: int = 10, batch: int = 128) -> None:
        """Train on features ``(n, n_in)`` and open peaks ``(n, n_peaks)``."""
        n_steps = epochs * -(-len(x) // batch)
        optimizer = torch.optim.AdamW(self.both.parameters(), lr=2e-3, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=n_steps)
        for _ in range(epochs):
            for cells in torch.randperm(len(x)).split(batch):
                target = torch.from_numpy(opened[cells.numpy()].toarray())
                loss = F.binary_cross_entropy_with_logits(self.both(x[cells]), target)
                optimizer.zero_grad()
                (loss * target.shape[1]).backward()
                optimizer.step()
                schedule.step()
        self.both.eval()

    @torch.no_grad()
    def predict(self, x: Tensor) -> NDArray[np.float32]:
        """Return probabilities, ``(n, n_peaks)``."""
        return self.both(x).sigmoid().numpy()

    @torch.no_grad()
    def hidden(self, x: Tensor) -> NDArray[np.float32]:
        """Return the hidden layer, ``(n, hidden)``."""
        return self.body[:2](x).numpy()


def perceptron(
    rna_train: sparse.csr_matrix,
    atac_train: sparse.csr_matrix,
    rna_test: sparse.csr_matrix,
    *,
    features: str = "genes",
    seed: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities and hidden layer of a :class:`Perceptron` on ``"genes"`` or 50 ``"pcs"``."""
    torch.manual_seed(seed)
    opened = _binarize(atac_train)
    rate = ((np.asarray(opened.sum(0)).ravel() + 0.5) / (opened.shape[0] + 1)).astype(np.float32)
    if features == "genes":
        target = float(np.median(np.asarray(rna_train.sum(1))))
        train, test = (log_normalize(m, target).toarray() for m in (rna_train, rna_test))
    else:
        train, test = rna_pca(rna_train, rna_test)
    mean, std = train.mean(0), np.maximum(train.std(0), 1e-3)
    x, query = (torch.from_numpy(((m - mean) / std).astype(np.float32)) for m in (train, test))
    drop = 0.5 if features == "genes" else 0.1
    net = Perceptron(x.shape[1], rate, hidden=256, rank=32, drop=drop)
    net.fit(x, opened)
    return net.predict(query), net.hidden(query)


def neighbor_mean(
    known: NDArray[np.float32], target: sparse.csr_matrix, query: NDArray[np.float32], k: int
) -> NDArray[np.float32]:
    """Mean of ``target`` over the ``k`` known cells nearest to each query cell."""
    graph = NearestNeighbors(n_neighbors=k).fit(known).kneighbors_graph(query)
    return (graph.astype(np.float32) @ target).toarray() / np.float32(k)


def least_squares(
    known: NDArray[np.float32], target: sparse.csr_matrix, query: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Linear regression of ``target`` on components, clipped at zero."""
    fit = LinearRegression().fit(known, target.toarray())
    return np.maximum(fit.predict(query), 0)


def lsi(
    atac_train: sparse.csr_matrix, atac_test: sparse.csr_matrix, n_comps: int = 50
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Latent semantic indexing with muon's weights, fitted to training cells, without depth."""
    train, test = _binarize(atac_train), _binarize(atac_test)
    idf = np.log1p(train.shape[0] / (1 + np.asarray(train.sum(0)).ravel()))

    def weighted(m: sparse.csr_matrix) -> sparse.csr_matrix:
        share = sparse.diags(1e4 / np.maximum(np.asarray(m.sum(1)).ravel(), 1))
        return ((share @ m).log1p() @ sparse.diags(idf)).tocsr()

    svd = TruncatedSVD(n_comps + 1, random_state=0).fit(weighted(train))
    return svd.transform(weighted(train))[:, 1:], svd.transform(weighted(test))[:, 1:]


def rna_depth(rna_test: sparse.csr_matrix, n_peaks: int) -> NDArray[np.float32]:
    """Total RNA count of the cell for every peak: a predictor by depth alone."""
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
    """PCs of log-normalized counts, fitted on the training cells.

    Parameters
    ----------
    rna_train, rna_test
        Raw counts.
    n_comps
        Number of components.
    target_sum
        Counts per cell after normalization; None for the median of the training cells.
    scale
        Divide genes by their standard deviation among the training cells.

    Returns
    -------
    Components of the training cells ``(n_train, n_comps)`` and, with the same centering and
    rotation, of the test cells ``(n_test, n_comps)``.
    """
    if target_sum is None:
        target_sum = float(np.median(np.asarray(rna_train.sum(1))))
    train, test = log_normalize(rna_train, target_sum), log_normalize(rna_test, target_sum)
    if scale:
        scaler = StandardScaler(with_mean=False).fit(train)
        train, test = scaler.transform(train), scaler.transform(test)
    pca = PCA(n_comps, svd_solver="arpack", random_state=0)
    return pca.fit_transform(train), pca.transform(test)


def log_normalize(counts: sparse.csr_matrix, target_sum: float = 1e4) -> sparse.csr_matrix:
    """``log(1 + counts per target_sum)``, a copy of the same shape."""
    adata = ad.AnnData(counts.astype(np.float32, copy=True))
    sc.pp.normalize_total(adata, target_sum=target_sum)
    sc.pp.log1p(adata)
    return adata.X


def _binarize(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return 1 where a peak is open."""
    return (counts > 0).astype(np.float32)


def _group_means(
    matrix: sparse.csr_matrix, codes: NDArray[np.intp], n_groups: int
) -> NDArray[np.float32]:
    """Return the mean row of each group, ``(n_groups, n_peaks)``; codes of -1 are left out."""
    cells = np.flatnonzero(codes >= 0)
    weights = 1 / np.bincount(codes[cells], minlength=n_groups)[codes[cells]]
    shape = (n_groups, matrix.shape[0])
    average = sparse.csr_matrix((weights.astype(np.float32), (codes[cells], cells)), shape=shape)
    return (average @ matrix).toarray()
