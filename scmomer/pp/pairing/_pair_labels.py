"""Pairs by label: a random ATAC cell of the RNA cell's type."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer.data import examples
from scmomer.pp.pairing._pairs import CellPairs

logger = logging.getLogger(__name__)


def pair_by_label(
    rna: AnnData, atac: AnnData, labels_key: str | None, rng: np.random.Generator
) -> CellPairs:
    """Draw an ATAC cell of the same label for each RNA cell.

    Parameters
    ----------
    rna, atac
        Cells with labels in ``obs[labels_key]``, compared as text.
    labels_key
        Column of obs.
    rng
        Random number generator.

    Returns
    -------
    CellPairs
        Cells whose label is on both sides, with confidence 1.

    Raises
    ------
    KeyError
        If a side lacks the column.
    ValueError
        If `labels_key` is None, labels are missing, or no label is shared.
    """
    if labels_key is None:
        msg = (
            "Expected labels_key= with on='labels', found None. Pass the column of cell types that "
            "both rna.obs and atac.obs have, or use on='embedding', which needs no labels."
        )
        raise ValueError(msg)
    labels = {"rna": _labels(rna, labels_key, "rna"), "atac": _labels(atac, labels_key, "atac")}
    known = {side: pd.unique(values) for side, values in labels.items()}
    common = np.intersect1d(known["rna"], known["atac"])
    if not len(common):
        msg = (
            f"rna and atac share no labels of {labels_key!r}: rna has "
            f"{examples(known['rna'])}, atac has {examples(known['atac'])}. "
            "Use the same names on both sides."
        )
        raise ValueError(msg)
    _report_left_out(labels, common)
    chosen = np.full(rna.n_obs, -1)
    for label in common:
        takers = np.flatnonzero(labels["rna"] == label)
        chosen[takers] = _draw(np.flatnonzero(labels["atac"] == label), len(takers), rng)
    paired = np.flatnonzero(chosen >= 0)
    return CellPairs(paired, chosen[paired], np.ones(len(paired)))


def _draw(cells: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return `n` of `cells` in random order; repeats only after each was drawn once."""
    rounds = np.tile(cells, (-(-n // len(cells)), 1))
    return rng.permuted(rounds, axis=1).ravel()[:n]


def _labels(adata: AnnData, key: str, where: str) -> np.ndarray:
    """Return the label of each cell as text, ``(n_cells,)``."""
    if key not in adata.obs:
        msg = (
            f"Expected a column {key!r} in {where}.obs, found {list(adata.obs.columns)}. "
            "Both sides need the same labels_key."
        )
        raise KeyError(msg)
    column = adata.obs[key]
    if column.isna().any():
        msg = (
            f"Expected a label of {key!r} for every cell of {where}, found "
            f"{column.isna().sum()} of "
            f"{len(column)} missing. Drop these cells "
            f"(`{where} = {where}[{where}.obs[{key!r}].notna()].copy()`) or give them a label."
        )
        raise ValueError(msg)
    return column.astype(str).to_numpy(dtype=object)


def _report_left_out(labels: dict[str, np.ndarray], common: np.ndarray) -> None:
    """Log the cells without a partner in one line."""
    parts = []
    for side, other in (("rna", "atac"), ("atac", "rna")):
        alone = labels[side][~np.isin(labels[side].astype(str), common.astype(str))]
        if len(alone):
            names = sorted(set(alone))
            parts.append(
                f"{len(alone)} of {side} with labels that {other} lacks ({examples(names)})"
            )
    if parts:
        logger.info("pair_cells leaves out cells: %s.", "; ".join(parts))
