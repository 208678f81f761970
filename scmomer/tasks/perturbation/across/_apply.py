"""Counts of cells in which genes are expressed more or less than they were."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

MAX_FOLD = 64.0  # of a gene that controls hardly express, a mean has no fold to speak of


def fold_changes(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return ratios of expression from means of ``log1p``, ``(n_genes,)``.

    A gene that was not expressed before has no ratio, and keeps 1.

    Parameters
    ----------
    before, after
        Means of ``log1p`` of normalized expression, ``(n_genes,)`` each. Negative values count as 0.
    """
    start, stop = np.expm1(np.maximum(before, 0)), np.expm1(np.maximum(after, 0))
    fold = np.divide(stop, start, out=np.ones(len(start)), where=start > 0)
    return np.minimum(fold, MAX_FOLD)


def apply_folds(counts: sp.csr_matrix, fold: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """Return counts of the same cells with changed expression, ``(n_cells, n_genes)`` float32.

    Counts of a gene with a fold below 1 are thinned. Above 1 counts are added, as many as expected,
    to cells at random: also to those that had none, in proportion to their total.

    Parameters
    ----------
    counts
        Whole numbers.
    fold
        Ratio of each gene, ``(n_genes,)``.
    rng
        Of thinning and adding.
    """
    counts = counts.astype(np.float64)
    kept = counts.copy()
    share = np.minimum(fold, 1.0)[counts.indices]
    kept.data = rng.binomial(np.round(counts.data).astype(np.int64), share).astype(np.float64)
    total = np.asarray(counts.sum(1)).ravel()
    expected = np.asarray(counts.sum(0)).ravel() * np.maximum(fold - 1, 0)
    n_added = rng.poisson(expected)
    if n_added.any() and total.any():
        gene = np.repeat(np.arange(counts.shape[1]), n_added)
        cell = rng.choice(len(total), size=len(gene), p=total / total.sum())
        added = sp.coo_matrix((np.ones(len(gene)), (cell, gene)), shape=counts.shape)
        kept = kept + added.tocsr()
    kept = sp.csr_matrix(kept, dtype=np.float32)
    kept.eliminate_zeros()
    kept.sort_indices()
    return kept
