"""How far a gene's embedding moves between groups of cells."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd


class Variability(NamedTuple):
    """Movement of each gene's embedding between groups, ``(n_genes,)`` each; NaN if unknown."""

    between: np.ndarray
    """Variance between groups, without what few cells add by chance; may be slightly negative."""
    share: np.ndarray
    """Its share of the variance between and within groups, at most 1."""
    n_groups: np.ndarray
    """Groups in which enough cells express the gene."""


def variability(
    mean: np.ndarray, variance: np.ndarray, n_cells: np.ndarray, min_cells: int
) -> Variability:
    """Return the variance of embeddings between groups, free of the number of cells.

    The mean over ``n`` cells with variance ``v`` scatters by ``v / n`` around the true mean of its
    group. This is subtracted: a gene that few cells express does not move for that reason
    (one-way random-effects analysis of variance, in all dimensions together).

    Parameters
    ----------
    mean, variance, n_cells
        Of each gene in each group, ``(n_genes, dim, n_groups)`` and ``(n_genes, n_groups)`` twice;
        see :class:`scmomer.inference.GeneTokens`.
    min_cells
        Cells of a group that must express a gene, at least 2.
    """
    known = n_cells >= max(min_cells, 2)  # (n_genes, n_groups)
    n_groups = known.sum(1)
    values = np.where(known[:, None], mean, np.nan).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # genes without a group
        center = np.nanmean(values, axis=2, keepdims=True)
        squares = np.nansum((values - center) ** 2, axis=(1, 2))
        within = np.nanmean(np.where(known, variance, np.nan), axis=1)
        by_chance = np.nanmean(np.where(known, variance / np.maximum(n_cells, 1), np.nan), axis=1)
    between = np.full(len(mean), np.nan)
    enough = n_groups >= 2
    between[enough] = squares[enough] / (n_groups[enough] - 1) - by_chance[enough]
    total = np.maximum(between, 0) + within
    share = np.divide(between, total, out=np.full(len(mean), np.nan), where=enough & (total > 0))
    return Variability(between, share, n_groups)


def equal_cells(
    groups: np.ndarray, batches: np.ndarray, min_cells: int, most: int | None, seed: int
) -> list[np.ndarray]:
    """Return a draw of cells for each batch: as many of each group.

    Parameters
    ----------
    groups, batches
        Codes of each cell, ``(n_cells,)``; -1 for none.
    min_cells
        A group with fewer cells in a batch takes no part there.
    most
        Most cells of a group; None for as many as the smallest has.
    seed
        Of the draw.

    Returns
    -------
    list
        Cells in increasing order, for each batch that has at least 2 groups.
    """
    rng, draws = np.random.default_rng(seed), []
    for batch in np.unique(batches[batches >= 0]):
        order = rng.permutation(np.flatnonzero((batches == batch) & (groups >= 0)))
        sizes = np.bincount(groups[order])
        sizes[sizes < min_cells] = 0
        if (sizes > 0).sum() < 2:
            continue
        size = int(sizes[sizes > 0].min())
        size = size if most is None else min(size, most)
        order = order[sizes[groups[order]] > 0]
        order = order[np.argsort(groups[order], kind="stable")]
        ends = np.cumsum(sizes)
        rank = np.arange(len(order)) - (ends - sizes)[groups[order]]  # of a cell in its group
        draws.append(np.sort(order[rank < size]))
    return draws


def combine(parts: list[Variability], genes: pd.Index) -> pd.DataFrame:
    """Return means over batches, and the standard error, a row for each gene."""
    values = np.stack([part.between for part in parts], 1)  # (n_genes, n_batches)
    shares = np.stack([part.share for part in parts], 1)
    n_groups = np.stack([part.n_groups for part in parts], 1)
    known = np.isfinite(values)
    n = known.sum(1)
    frame = pd.DataFrame(values, index=genes)
    error = frame.std(axis=1, ddof=1) / np.sqrt(np.maximum(n, 1))
    seen = np.where(known, n_groups, 0).sum(1) / np.maximum(n, 1)
    return pd.DataFrame(
        {
            "variability": frame.mean(axis=1),
            "se": error.where(n > 1),
            "share": pd.DataFrame(shares, index=genes).mean(axis=1),
            "n_groups": np.where(n > 0, seen, 0.0),
            "n_batches": n,
        },
        index=genes,
    )
