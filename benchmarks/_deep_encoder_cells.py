"""Human cells of ``deep_encoder.py``: the most variable genes, unlabeled and held-out cells."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp
from _counts import recover_counts
from sklearn.utils.extmath import randomized_svd

DATA = Path(os.environ.get("SCMOMER_DATA", "../shared/data")) / "rna"
FILES = {
    "sorted PBMC": ("pbmc_facs_3774.h5ad", "celltype"),
    "Kang": ("kang_pbmc_lognorm.h5ad", "cell_type"),
}
N_PCS = 32  # as many dimensions as the embedding of the model
_MAX_SCALED = 10.0


@dataclass
class DeepCells:
    """Counts of the chosen genes, and labels; training cells are those of stage 1."""

    train: sp.csr_matrix
    train_labels: np.ndarray
    test: sp.csr_matrix
    test_labels: np.ndarray


def read(name: str) -> tuple[sp.csr_matrix, np.ndarray]:
    """Return counts and labels of a data set."""
    file, key = FILES[name]
    adata = ad.read_h5ad(DATA / file)
    if "lognorm" in file:
        adata = recover_counts(adata)
    return sp.csr_matrix(adata.X, dtype=np.float32), adata.obs[key].astype(str).to_numpy()


def split(
    counts: sp.csr_matrix,
    labels: np.ndarray,
    seed: int,
    *,
    n_train: int,
    n_test: int,
    n_genes: int,
) -> DeepCells:
    """Draw training and test cells; choose genes by the variance of log expression in training."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(counts.shape[0])
    known, held_out = np.sort(order[:n_train]), np.sort(order[n_train : n_train + n_test])
    log = log_expression(counts[known])
    mean = np.asarray(log.mean(0, dtype=np.float64)).ravel()
    variance = np.asarray(log.power(2).mean(0, dtype=np.float64)).ravel() - mean**2
    genes = np.sort(np.argsort(-variance, kind="stable")[:n_genes])
    train, test = counts[known][:, genes].tocsr(), counts[held_out][:, genes].tocsr()
    for part in (train, test):
        part.sort_indices()
    return DeepCells(train, labels[known], test, labels[held_out])


def log_expression(counts: sp.csr_matrix, target: float = 1e4) -> sp.csr_matrix:
    """Return ``log(1 + counts / total * target)``."""
    totals = np.asarray(counts.sum(1, dtype=np.float64)).ravel()
    log = sp.csr_matrix(sp.diags(target / np.maximum(totals, 1)) @ counts)
    log.data = np.log1p(log.data)
    return log


def thin(counts: sp.csr_matrix, keep: float | np.ndarray, seed: int) -> sp.csr_matrix:
    """Keep each count with a probability, one for all cells or one for each."""
    rng = np.random.default_rng(seed)
    share = np.repeat(np.broadcast_to(keep, counts.shape[0]), np.diff(counts.indptr))
    thinned = counts.copy()
    thinned.data = rng.binomial(counts.data.astype(np.int64), share).astype(counts.dtype)
    thinned.eliminate_zeros()
    return thinned


class Components:
    """Principal components of log expression of the training cells."""

    def __init__(self, counts: sp.csr_matrix, *, scaled: bool, seed: int = 0):
        log = log_expression(counts).toarray()
        self.mean = log.mean(0)
        self.scale = np.maximum(log.std(0), 0.05) if scaled else np.ones(log.shape[1])
        self.scaled = scaled
        _, _, self.loadings = randomized_svd(self._center(log), N_PCS, random_state=seed)

    def _center(self, log: np.ndarray) -> np.ndarray:
        centered = (log - self.mean) / self.scale
        return np.clip(centered, -_MAX_SCALED, _MAX_SCALED) if self.scaled else centered

    def __call__(self, counts: sp.csr_matrix) -> np.ndarray:
        """Return the components of cells, ``(n, 32)``."""
        return self._center(log_expression(counts).toarray()) @ self.loadings.T

    def rebuild(self, components: np.ndarray) -> np.ndarray:
        """Return the log expression that components describe, ``(n, n_genes)``."""
        return components @ self.loadings * self.scale + self.mean
