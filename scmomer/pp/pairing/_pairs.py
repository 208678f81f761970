"""Pairs of cells, and their container."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer._compat import keep_obs
from scmomer._constants import ATAC, KEYS, RNA

#: Key of the shared space in ``obsm`` of both modalities.
SPACE = "X_pairing"


@dataclass(frozen=True)
class CellPairs:
    """Which ATAC cell is paired with which RNA cell."""

    rna: np.ndarray
    """Positions of RNA cells, increasing, ``(n_pairs,)``."""
    atac: np.ndarray
    """Position of the ATAC cell of each pair, ``(n_pairs,)``; may repeat."""
    confidence: np.ndarray
    """In [0, 1], ``(n_pairs,)``."""


@dataclass(frozen=True)
class SharedSpace:
    """Cells of both modalities in a shared space; each row has length 1 (or 0)."""

    rna: np.ndarray
    """Shape ``(n_rna, n_comps)``."""
    atac: np.ndarray
    """Shape ``(n_atac, n_comps)``."""

    def similarity(self, rna: np.ndarray, atac: np.ndarray) -> np.ndarray:
        """Return the cosine of each pair, 0 where it is negative, ``(n_pairs,)``."""
        cosine = np.einsum("ij,ij->i", self.rna[rna], self.atac[atac])
        return np.clip(cosine, 0, 1)


def to_mudata(
    pairs: CellPairs, rna: AnnData, atac: AnnData, space: SharedSpace | None, params: dict[str, Any]
) -> MuData:
    """Return paired cells, named as in RNA, without shared memory with the inputs.

    Parameters
    ----------
    pairs
        Pairs of positions in `rna` and `atac`.
    rna, atac
        The cells.
    space
        Written to ``obsm["X_pairing"]`` of both modalities; None if there is none.
    params
        Written to ``uns["scmomer"]["pair_cells"]``, without values of None.
    """
    names = rna.obs_names[pairs.rna]
    parts = {RNA: _take(rna, pairs.rna, names), ATAC: _take(atac, pairs.atac, names)}
    if space is not None:
        parts[RNA].obsm[SPACE] = space.rna[pairs.rna]
        parts[ATAC].obsm[SPACE] = space.atac[pairs.atac]
    with keep_obs():
        paired = MuData(parts, obs=pd.DataFrame(index=names))
    # Set afterwards: MuData would turn a column of whole numbers into integers.
    paired.obs["atac_cell"] = atac.obs_names[pairs.atac].astype(str).to_numpy()
    paired.obs["pair_confidence"] = pairs.confidence
    kept = {key: value for key, value in params.items() if value is not None}
    paired.uns[KEYS.UNS] = {"pair_cells": {"params": kept}}
    return paired


def _take(adata: AnnData, cells: np.ndarray, names: pd.Index) -> AnnData:
    """Return selected cells under new names; a cell may be selected several times.

    ``obsp`` is left out: graphs would grow with the square of the repeats, and mean little for
    repeated cells.
    """
    if adata.isbacked:
        adata = adata.to_memory()
    return AnnData(
        X=None if adata.X is None else adata.X[cells],
        obs=adata.obs.iloc[cells].set_index(names),
        var=adata.var.copy(),
        obsm={key: _rows(value, cells, names) for key, value in adata.obsm.items()},
        layers={k: v[cells] for k, v in adata.layers.items() if k is not None},
        varm={key: value.copy() for key, value in adata.varm.items()},
        uns=deepcopy(dict(adata.uns)),
    )


def _rows(values: Any, cells: np.ndarray, names: pd.Index) -> Any:
    """Return rows of an array, a sparse matrix or a data frame."""
    if isinstance(values, pd.DataFrame):
        return values.iloc[cells].set_index(names)
    return values[cells]
