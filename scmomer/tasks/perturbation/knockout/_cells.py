"""Expression of the cells that genes are knocked out in, by gene and group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from scmomer.nn import log_normalize_csr
from scmomer.tasks.perturbation.knockout._network import Mode


@dataclass(frozen=True)
class KnockoutCells:
    """Log expression of cells with a group."""

    expression: sp.csr_matrix
    """``(n_cells, n_genes)`` float32."""
    groups: np.ndarray
    """Group of each cell, ``(n_cells,)``."""
    n_groups: int
    top: np.ndarray
    """Mean log expression in the top bin of each cell, ``(n_cells,)`` float32."""
    by_gene: sp.csc_matrix
    """`expression` by columns."""
    sizes: np.ndarray
    """Cells of each group, ``(n_groups,)``."""
    n_expressing: np.ndarray
    """Cells of each group that express a gene, ``(n_groups, n_genes)``."""
    mean: np.ndarray
    """Mean log expression, ``(n_groups, n_genes)``."""

    @property
    def detection(self) -> np.ndarray:
        """Share of the cells of each group that express a gene, ``(n_groups, n_genes)``."""
        return self.n_expressing / np.maximum(self.sizes, 1)[:, None]

    def column(self, gene: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the cells that express a gene, and their log expression."""
        part = slice(self.by_gene.indptr[gene], self.by_gene.indptr[gene + 1])
        return self.by_gene.indices[part], self.by_gene.data[part]


def make_cells(
    counts: sp.csr_matrix, target_sum: float, groups: np.ndarray, n_groups: int, n_bins: int
) -> KnockoutCells:
    """Normalize counts ``(n_cells, n_genes)``, with a group in ``0..n_groups - 1`` for each cell."""
    expression = log_normalize_csr(counts, target_sum)
    expression.eliminate_zeros()
    n = len(groups)
    indicator = sp.csr_matrix((np.ones(n), (groups, np.arange(n))), shape=(n_groups, n))
    sizes = np.bincount(groups, minlength=n_groups)
    seen = expression.astype(bool).astype(np.float64)
    mean = (indicator @ expression.astype(np.float64)).toarray()
    mean /= np.maximum(sizes, 1)[:, None]
    return KnockoutCells(
        expression=expression,
        groups=groups,
        n_groups=n_groups,
        top=top_bin(expression, n_bins),
        by_gene=expression.tocsc(),
        sizes=sizes,
        n_expressing=(indicator @ seen).toarray(),
        mean=mean,
    )


def top_bin(expression: sp.csr_matrix, n_bins: int) -> np.ndarray:
    """Return the mean of the highest ``1 / n_bins`` of each row's stored values, ``(n_cells,)``.

    At least one value is averaged; a row without values gives 0.
    """
    lengths = np.diff(expression.indptr)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((-expression.data, rows))
    rank = np.arange(len(order)) - np.repeat(expression.indptr[:-1], lengths)
    keep = rank < np.repeat(-(-lengths // n_bins), lengths)
    total = np.bincount(rows[keep], expression.data[order][keep], len(lengths))
    return (total / np.maximum(-(-lengths // n_bins), 1)).astype(np.float32)


@dataclass(frozen=True)
class Draw:
    """Cells in which a gene is set, and what they stand for."""

    cells: np.ndarray
    """``(n,)``"""
    weight: np.ndarray
    """Of the change of each cell in the mean of its group, ``(n,)``."""
    value: np.ndarray | None
    """New log expression, ``(n,)``; None for a knockout."""


def draw_cells(
    cells: KnockoutCells, gene: int, mode: Mode, max_cells: int | None, rng: np.random.Generator
) -> Draw:
    """Return the cells that a change of a gene concerns, at most so many of each group.

    Cells that do not express a gene cannot lose it: they count as unchanged and are not computed.
    """
    expressing, level = cells.column(gene)
    if mode == "zero":
        chosen = _at_most(cells.groups[expressing], max_cells, rng)
        group = cells.groups[expressing]
        kept = np.bincount(group[chosen], minlength=cells.n_groups)
        # A drawn cell stands for all cells of its group that express the gene.
        share = cells.detection[:, gene] / np.maximum(kept, 1)
        return Draw(expressing[chosen], share[group[chosen]], None)
    chosen = _at_most(cells.groups, max_cells, rng)
    kept = np.bincount(cells.groups[chosen], minlength=cells.n_groups)
    before = np.zeros(len(cells.groups), np.float32)
    before[expressing] = level
    value = np.maximum(before, cells.top)[chosen]
    changed = value > before[chosen]
    weight = (1 / np.maximum(kept, 1))[cells.groups[chosen]]
    return Draw(chosen[changed], weight[changed], value[changed])


def dose(cells: KnockoutCells, gene: int, draw: Draw) -> np.ndarray:
    """Return by how much the mean log expression of a gene changes, ``(n_groups,)``, positive."""
    if draw.value is None:
        return cells.mean[:, gene]
    expressing, level = cells.column(gene)
    before = np.zeros(len(cells.groups))
    before[expressing] = level
    change = draw.weight * (draw.value - before[draw.cells])
    return np.bincount(cells.groups[draw.cells], change, cells.n_groups)


def _at_most(groups: np.ndarray, max_cells: int | None, rng: np.random.Generator) -> np.ndarray:
    """Return positions of at most `max_cells` random members of each group, sorted."""
    if max_cells is None or not len(groups) or np.bincount(groups).max() <= max_cells:
        return np.arange(len(groups))
    order = rng.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    sizes = np.bincount(groups)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[rank < max_cells])
