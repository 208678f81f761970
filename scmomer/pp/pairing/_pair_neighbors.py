"""Pairs by mutual nearest neighbors."""

from __future__ import annotations

from typing import Literal

import numpy as np

from scmomer.data import nearest
from scmomer.pp.pairing._pairs import CellPairs, SharedSpace

Unmatched = Literal["nearest", "drop"]


def pair_by_neighbors(
    space: SharedSpace, n_neighbors: int, unmatched: Unmatched, random_state: int
) -> CellPairs:
    """Pair each RNA cell with its nearest mutual neighbor among ATAC cells.

    Parameters
    ----------
    space
        Cells of both modalities.
    n_neighbors
        Two cells are mutual neighbors if each is among the `n_neighbors` nearest cells of the
        other; at most the number of cells.
    unmatched
        What to do with RNA cells without a mutual neighbor.
    random_state
        Seed of the approximate search.

    Returns
    -------
    CellPairs
        Confidence is the cosine of the two cells, 0 without a mutual neighbor.

    Raises
    ------
    ValueError
        If unmatched cells are dropped and none is left.
    """
    n_rna, n_atac = len(space.rna), len(space.atac)
    k = min(n_neighbors, n_rna, n_atac)
    of_rna = nearest(space.rna, space.atac, k, random_state)  # (n_rna, k)
    of_atac = nearest(space.atac, space.rna, k, random_state)  # (n_atac, k)
    mutual = _are_mutual(of_rna, of_atac)
    first = mutual.argmax(axis=1)  # the nearest cell if none is mutual
    chosen = np.take_along_axis(of_rna, first[:, None], axis=1).ravel()
    matched = np.asarray(mutual.any(axis=1))
    cells = np.arange(n_rna) if unmatched == "nearest" else np.flatnonzero(matched)
    if not len(cells):
        msg = (
            f"None of {n_rna} RNA cells has a mutual neighbor among the {k} nearest cells. "
            "Raise n_neighbors=, or keep unmatched cells (unmatched='nearest')."
        )
        raise ValueError(msg)
    confidence = space.similarity(cells, chosen[cells]) * matched[cells]
    return CellPairs(cells, chosen[cells], confidence)


def _are_mutual(of_rna: np.ndarray, of_atac: np.ndarray) -> np.ndarray:
    """Return which neighbors of each RNA cell have that cell as a neighbor, ``(n_rna, k)``."""
    n_rna, n_atac = len(of_rna), len(of_atac)
    # Each pair of cells is one number, so that both directions can be compared.
    forth = np.arange(n_rna)[:, None] * n_atac + of_rna
    back = of_atac * n_atac + np.arange(n_atac)[:, None]
    return np.isin(forth, back)
