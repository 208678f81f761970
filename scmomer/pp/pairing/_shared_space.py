"""Shared space of RNA and gene activity, by canonical correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from scipy.sparse.linalg import LinearOperator, svds

from scmomer.pp.pairing._pairs import SharedSpace

_CLIP = 10.0  # standard deviations above the mean; as Seurat's ScaleData
_TOLERANCE = 1e-4  # of singular vectors; the last ones are noise, and slow to converge


@dataclass(frozen=True)
class _Standardized:
    """A sparse matrix with columns of mean 0 and variance 1, never made dense."""

    scaled: sp.csr_matrix
    """Values over their standard deviation, ``(n_cells, n_genes)``."""
    mean: np.ndarray
    """Mean of each column of `scaled`, ``(n_genes,)``."""

    def times(self, v: np.ndarray) -> np.ndarray:
        """Return the product with ``(n_genes,)``, of shape ``(n_cells,)``."""
        return self.scaled @ v - self.mean @ v

    def transposed_times(self, v: np.ndarray) -> np.ndarray:
        """Return the transpose's product with ``(n_cells,)``, of shape ``(n_genes,)``."""
        return self.scaled.T @ v - self.mean * v.sum()


def shared_space(
    rna: sp.csr_matrix,
    activity: sp.csr_matrix,
    *,
    n_comps: int,
    n_top_genes: int,
    random_state: int,
) -> SharedSpace:
    r"""Embed cells of both modalities by canonical correlation of their genes.

    With expression :math:`X` and activity :math:`Y`, normalized, logarithmized and standardized per
    gene, :math:`X Y^T = U S V^T`; cells are the rows of :math:`U S` and :math:`V S`, scaled to
    length 1. Seurat (Stuart et al., Cell 2019) uses :math:`U` and :math:`V`; weighting components
    by their singular values reduces the noise of the last ones. :math:`X Y^T`, cells x cells, is
    never formed: only its products with vectors are, from sparse matrices.

    Parameters
    ----------
    rna, activity
        Counts of the same genes, ``(n_rna, n_genes)`` and ``(n_atac, n_genes)``.
    n_comps
        Number of components; reduced if the data are too small.
    n_top_genes
        Number of most variable RNA genes to use.
    random_state
        Seed of the start vector of the iteration.

    Raises
    ------
    ValueError
        If fewer than three genes vary in both modalities, or a side has fewer than three cells.
    """
    x, y = _normalized(rna), _normalized(activity)
    genes = _common_genes(x, y, n_top_genes)
    limit = min(x.shape[0], y.shape[0], len(genes)) - 1
    if limit < 2:
        msg = (
            "Expected at least 3 cells on each side and 3 genes that vary in RNA and in activity, "
            f"found {x.shape[0]} RNA cells, {y.shape[0]} ATAC cells and {len(genes)} such genes. "
            "Check that atac.var_names has the peaks of many genes, or use on='labels'."
        )
        raise ValueError(msg)
    left, right = _standardized(x[:, genes]), _standardized(y[:, genes])
    product = LinearOperator(
        (x.shape[0], y.shape[0]),
        matvec=lambda v: left.times(right.transposed_times(v.ravel())),
        rmatvec=lambda v: right.times(left.transposed_times(v.ravel())),
        dtype=np.float64,
    )
    start = np.random.default_rng(random_state).normal(size=min(product.shape))
    u, s, vt = svds(product, min(n_comps, limit), tol=_TOLERANCE, v0=start)
    largest = np.argsort(-s)
    return SharedSpace(_unit((u * s)[:, largest]), _unit((vt.T * s)[:, largest]))


def _normalized(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return ``log(1 + counts per median depth)``, a copy of the same shape.

    The same as scanpy's ``normalize_total`` and ``log1p``, but without their warning about cells
    without counts, which are common in gene activity.
    """
    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    some = depth > 0
    scale = np.divide(np.median(depth[some]) if some.any() else 0, depth, where=some, out=1 * depth)
    return (sp.diags(scale) @ counts).tocsr().log1p()


def _common_genes(x: sp.csr_matrix, y: sp.csr_matrix, n_top_genes: int) -> np.ndarray:
    """Return the most variable genes of `x` among those that vary in both, ``(n,)``, increasing."""
    genes = np.flatnonzero((_moments(x)[1] > 0) & (_moments(y)[1] > 0))
    if len(genes) <= n_top_genes:
        return genes
    import scanpy as sc  # slow to import, rarely needed

    adata = AnnData(x[:, genes])
    adata.uns["log1p"] = {"base": None}
    found = sc.pp.highly_variable_genes(adata, n_top_genes=n_top_genes, inplace=False)
    return genes[found["highly_variable"].to_numpy()]


def _standardized(x: sp.csr_matrix) -> _Standardized:
    """Clip values far above a gene's mean, then center and scale."""
    mean, std = _moments(x)
    x = x.copy()
    x.data = np.minimum(x.data, (mean + _CLIP * std)[x.indices])
    mean, std = _moments(x)
    return _Standardized((x @ sp.diags(1 / std)).tocsr(), mean / std)


def _moments(x: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the columns, ``(n_genes,)`` each."""
    mean, square = (np.asarray(m.mean(axis=0)).ravel() for m in (x, x.multiply(x)))
    variance = square - mean**2
    return mean, np.sqrt(np.where(variance > 1e-12 * square, variance, 0))  # below: rounding error


def _unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length 1; rows of zeros are kept."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)
