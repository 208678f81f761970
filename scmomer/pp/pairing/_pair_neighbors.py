"""Pairs by mutual nearest neighbours."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scmomer.data import nearest
from scmomer.pp.pairing._pairs import Pairs, SharedSpace

Unmatched = Literal["nearest", "drop"]


def pair_by_neighbors(
    space: SharedSpace, n_neighbors: int, unmatched: Unmatched, random_state: int
) -> Pairs:
    """Give each RNA cell its nearest mutual neighbour among ATAC cells.

    Parameters
    ----------
    space
        Cells of both modalities.
    n_neighbors
        Two cells are mutual if each is among so many nearest of the other; lowered to the number of
        cells.
    unmatched
        What becomes of RNA cells without a mutual neighbour.
    random_state
        Seed of approximate search.

    Returns
    -------
    Pairs
        Confidence is the cosine of the two cells, 0 without a mutual neighbour.

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
    first = mutual.argmax(axis=1)  # the nearest of all if none is mutual
    chosen = np.take_along_axis(of_rna, first[:, None], axis=1).ravel()
    matched = np.asarray(mutual.any(axis=1))
    cells = np.arange(n_rna) if unmatched == "nearest" else np.flatnonzero(matched)
    if not len(cells):
        msg = (
            f"Expected cells that are among each other's {k} nearest, found none of {n_rna} RNA "
            "cells. Raise n_neighbors=, or keep cells without one (unmatched='nearest')."
        )
        raise ValueError(msg)
    confidence = space.similarity(cells, chosen[cells]) * matched[cells]
    return Pairs(cells, chosen[cells], confidence)


def _are_mutual(of_rna: NDArray[np.intp], of_atac: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Say for each neighbour of each RNA cell whether it has that cell as neighbour, ``(n_rna, k)``."""
    n_rna, n_atac = len(of_rna), len(of_atac)
    # A pair of cells is one number, so that those of both directions can be compared.
    forth = np.arange(n_rna)[:, None] * n_atac + of_rna
    back = of_atac * n_atac + np.arange(n_atac)[:, None]
    return np.isin(forth, back)
