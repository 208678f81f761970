"""Features of cell lines: expression and embedding, standardized over the lines of training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scmomer.data import examples, warn

if TYPE_CHECKING:
    from scmomer.model import SCMOMER

logger = logging.getLogger(__name__)

CellInputs = Literal["both", "expression", "embedding"]
"""What is read of cell lines."""
EXPRESSION, EMBEDDING = "expression", "embedding"

_MAX_LOG = 30.0  # no logarithm of expression is larger; linear values of a profile are
_MAX_Z = 10.0
_MIN_SHARE = 0.5  # of the genes, below which a warning is due
_NORM = 3.0  # root mean square of the length of features of a line


def blocks_of(
    cells: AnnData, inputs: CellInputs, model: SCMOMER | None, layers: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """Return what is read of cells: blocks of features, each cells x features.

    Parameters
    ----------
    cells
        Lines or cells x genes.
    inputs
        Which blocks.
    model
        The model that embeds cells; not needed for ``"expression"``.
    layers
        ``layer=`` and the kind of values, as in :class:`scmomer.data.Layers`.

    Raises
    ------
    TypeError
        If `cells` is no AnnData.
    ValueError
        If names are repeated, or values are not finite.
    """
    if not isinstance(cells, AnnData):
        msg = (
            f"Expected cells as an AnnData of cell lines x genes, found {type(cells).__name__}. Of a "
            "DataFrame: `cells = anndata.AnnData(cells)`."
        )
        raise TypeError(msg)
    for what, names in (
        ("names of cells (obs_names)", cells.obs_names),
        ("genes", cells.var_names),
    ):
        if not names.is_unique:
            twice = names[names.duplicated()].unique()
            msg = f"Expected unique {what} in cells, found {examples(twice)} twice. Drop repeats."
            raise ValueError(msg)
    blocks = {}
    if inputs != EMBEDDING:
        blocks[EXPRESSION] = _expression(cells, layers.get("layer"))
    if inputs != EXPRESSION and model is not None:
        values = model.get_latent_representation(cells, **layers)
        names = [f"embedding {i}" for i in range(values.shape[1])]
        blocks[EMBEDDING] = pd.DataFrame(values, index=cells.obs_names, columns=names)
    return blocks


def _expression(cells: AnnData, layer: str | None) -> pd.DataFrame:
    if layer is not None and layer not in cells.layers:
        msg = f"Expected a layer {layer!r} in cells, found {[*cells.layers]}. Pass one as layer=."
        raise KeyError(msg)
    matrix = cells.X if layer is None else cells.layers[layer]
    values = np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix, dtype=np.float64)
    if n := int((~np.isfinite(values)).any(axis=1).sum()):
        msg = (
            f"Expected finite expression in cells, found missing or infinite values in {n} of "
            f"{len(values)} cell lines. Run `cells = cells[np.isfinite(cells.X).all(1)]`; lines of "
            "the synergies that are not in cells are used without features."
        )
        raise ValueError(msg)
    return pd.DataFrame(values, index=cells.obs_names, columns=cells.var_names)


@dataclass(frozen=True, eq=False)
class Standardizer:
    """One block of features, standardized over the lines of training."""

    names: pd.Index
    """Genes, or dimensions of an embedding, ``(n_features,)``."""
    mean: np.ndarray
    """float64 ``(n_features,)``."""
    scale: np.ndarray
    """Factor of each feature, float64 ``(n_features,)``; 0 for a constant one."""
    log: bool
    """Whether ``log(1 + x)`` is taken first."""

    @classmethod
    def fit(cls, values: pd.DataFrame, what: str) -> Standardizer:
        """Learn means and scales from lines x features; decide whether logarithms are due.

        Raises
        ------
        ValueError
            If all features are constant.
        """
        x = values.to_numpy(np.float64)
        log = what == EXPRESSION and x.min(initial=0) >= 0 and x.max(initial=0) > _MAX_LOG
        x = np.log1p(x) if log else x
        mean, sd = x.mean(axis=0), x.std(axis=0)
        if not (sd > 0).any():
            msg = (
                f"Expected {what} that differs between the cell lines of the synergies, found "
                f"{x.shape[1]} constant features in {len(x)} lines. Pass other cells."
            )
            raise ValueError(msg)
        inverse = np.divide(1, sd, out=np.zeros_like(sd), where=sd > 0)
        return cls(values.columns, mean, inverse * _NORM / np.sqrt((sd > 0).sum()), bool(log))

    def __call__(self, values: pd.DataFrame) -> np.ndarray:
        """Return standardized features, float32 ``(n, n_features)``; absent ones are 0, the mean.

        Raises
        ------
        ValueError
            If none of the features is there, or values are on another scale than in training.
        """
        at = values.columns.get_indexer(self.names)
        if (at < 0).all():
            msg = (
                f"Expected genes of the cell lines of training ({examples(self.names)}), found "
                f"none among {len(values.columns)} ({examples(values.columns)}). Rename genes."
            )
            raise ValueError(msg)
        if n := int((at < 0).sum()):
            text = f"{n} of {len(at)} genes are not in cells, and are taken as at their mean."
            warn(text) if n > (1 - _MIN_SHARE) * len(at) else logger.info(text)
        x = values.to_numpy(np.float64)
        if self.log and x.min(initial=0) < 0:
            msg = (
                "Expected expression as in training (TPM or counts), found negative values. Pass "
                "the layer with such values as layer=."
            )
            raise ValueError(msg)
        x = np.log1p(x) if self.log else x
        limit = _MAX_Z * _NORM / np.sqrt(np.count_nonzero(self.scale))
        z = np.clip((x[:, at] - self.mean) * self.scale, -limit, limit)
        return np.where(at < 0, 0, z).astype(np.float32)
