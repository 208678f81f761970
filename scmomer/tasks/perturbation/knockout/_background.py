"""Random genes that knocked-out genes are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scmomer.tasks.perturbation.knockout._cells import KnockoutCells
from scmomer.tasks.perturbation.knockout._shifts import Shifts

MIN_BACKGROUND = 20  # genes, below which there is no z
_MAX_BINS = 8  # of expression, each with a pool of its own


def background_pool(
    cells: KnockoutCells,
    genes: np.ndarray,
    candidates: np.ndarray,
    n_background: int,
    seed: int,
) -> np.ndarray:
    """Return genes that stand for chance, over the range of expression of `genes`.

    Genes are cut into bins of mean expression; the pool has `n_background` random candidates of
    each bin. A bin with fewer than twice as many is widened to the nearest ones.

    Parameters
    ----------
    cells
        Expression.
    genes
        Those to compare, ``(n,)``.
    candidates
        Genes of which the pool may consist. Those in `genes` are taken only if others are too few.
    n_background
        Genes of each bin.
    seed
        Of the draw.
    """
    rng = np.random.default_rng(seed)
    level = np.log2(np.average(cells.mean, axis=0, weights=cells.sizes) + 1e-9)
    others = np.setdiff1d(candidates, genes)
    if len(others) < n_background:
        others = candidates
    others = rng.permutation(others)
    pool = []
    for part in np.array_split(np.sort(level[genes]), min(_MAX_BINS, len(genes))):
        gap = np.maximum(part[0] - level[others], level[others] - part[-1])
        near = np.argsort(np.maximum(gap, 0), kind="stable")[: 2 * n_background]
        pool.append(others[rng.permutation(near)[:n_background]])
    return np.unique(np.concatenate(pool))


@dataclass(frozen=True)
class Background:
    """Shifts of random genes, and where each is in expression."""

    shifts: Shifts
    place: np.ndarray
    """Log2 of detection and of the mean of expressing cells, ``(n_pool, n_groups, 2)``."""
    usable: np.ndarray
    """Whether enough cells of a group change, ``(n_pool, n_groups)``."""

    def nearest(self, gene: int, group: int, place: np.ndarray, n: int) -> np.ndarray:
        """Return the pool's genes nearest in expression within a group, without `gene` itself.

        Parameters
        ----------
        gene, group
            The gene and the group.
        place
            Where the gene is, ``(2,)``.
        n
            How many, or fewer if there are no more.
        """
        allowed = np.flatnonzero(self.usable[:, group] & (self.shifts.genes != gene))
        apart = np.square(self.place[allowed, group] - place).sum(-1)
        return allowed[np.argsort(apart, kind="stable")[:n]]


def places(cells: KnockoutCells, genes: np.ndarray) -> np.ndarray:
    """Return log2 detection and log2 level of genes in each group, ``(n, n_groups, 2)``."""
    seen = cells.n_expressing[:, genes]
    detection = (seen + 0.5) / (cells.sizes[:, None] + 1)
    level = cells.mean[:, genes] * cells.sizes[:, None] / np.maximum(seen, 1)
    return np.stack([np.log2(detection), np.log2(level + 0.1)], -1).transpose(1, 0, 2)


def make_background(cells: KnockoutCells, shifts: Shifts, min_cells: int) -> Background:
    """Return the background from the shifts of a pool."""
    usable = (shifts.n_changed >= min_cells) & (shifts.dose > 0)
    return Background(shifts, places(cells, shifts.genes), usable)
