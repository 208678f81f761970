"""What links are computed from: embedding, expression and accessibility of the same cells."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from mudata import MuData

from scmomer._constants import ATAC, RNA
from scmomer.data import (
    check_unique,
    display_name,
    find_parts,
    get_counts,
    get_expression,
    given_profile,
    layers_by_modality,
)
from scmomer.model import SCMOMER
from scmomer.tasks.genes.links._scores import log_expression, opened

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """One modality of the cells that have it."""

    values: sp.csr_matrix
    """Log expression, or 1 for open peaks, ``(n_measured, n_features)``."""
    cells: np.ndarray
    """Position of each row among all cells, ``(n_measured,)``."""
    depth: np.ndarray
    """Log total counts or open peaks, ``(n_measured,)``."""

    def of(self, chosen: np.ndarray) -> Measured:
        """Return the rows of some cells, ``(n_cells,)`` bool; positions are among these."""
        rows = np.flatnonzero(chosen[self.cells])
        place = np.cumsum(chosen) - 1
        return Measured(self.values[rows], place[self.cells[rows]], self.depth[rows])


@dataclass(frozen=True)
class PredictedPeaks:
    """How the embedding moves the logit of each peak, for data without ATAC."""

    slopes: np.ndarray
    """Shape ``(n_peaks, n_latent)``."""
    logit: np.ndarray
    """Of the mean embedding, ``(n_peaks,)``."""


@dataclass(frozen=True)
class LinkCells:
    """Embedding and counts of cells."""

    z: np.ndarray
    """Embedding, ``(n_cells, n_latent)``."""
    rna: Measured
    atac: Measured | PredictedPeaks
    genes: pd.Index
    peaks: pd.Index
    var: pd.DataFrame
    """Annotation of the genes."""
    where: str
    """Name of the AnnData with the genes, in messages."""


def read_link_cells(
    data: AnnData | MuData,
    model: SCMOMER,
    use_rep: str | None,
    batch_size: int | None,
    layers: Mapping[str, Any],
) -> LinkCells:
    """Embed cells and read their counts, with all features of `data`, not only the model's.

    Raises
    ------
    KeyError
        If `use_rep` or a layer does not exist.
    ValueError
        If there is no RNA, or no peak.
    """
    parts, chosen = find_parts(data, model.spec), layers_by_modality(data, layers)
    profile = given_profile(layers) or model.spec.profile
    if RNA not in parts or ATAC not in model.spec.features:
        msg = (
            f"Expected data with RNA and a model of RNA and ATAC, found {sorted(parts)} and a model "
            f"of {list(model.spec.modalities)}. Pass a MuData with both."
        )
        raise ValueError(msg)
    if use_rep is None:
        z = model.get_latent_representation(data, batch_size=batch_size, **layers)
    elif use_rep in data.obsm:
        z = np.asarray(data.obsm[use_rep], np.float32)
    else:
        msg = (
            f"Expected an embedding {use_rep!r} in {display_name(data)}.obsm, found "
            f"{sorted(data.obsm)}. Leave out use_rep= to use the model's."
        )
        raise KeyError(msg)
    found: dict[str, Measured] = {}
    names: dict[str, pd.Index] = {}
    for modality in (RNA, ATAC):
        if modality not in parts:
            continue
        part = parts[modality]
        layer = chosen.get(modality, model.spec.layers.get(modality))
        layer = layer if layer in part.adata.layers or modality in chosen else None
        if modality == RNA:
            counts = get_expression(part.own(), layer, part.where, profile=profile).counts
        else:
            counts = get_counts(part.own(), layer, part.where)
        names[modality] = part.names
        check_unique(part.names, f"{part.where}.var_names")
        same = part.adata.obs_names.equals(data.obs_names)
        cells = np.arange(data.n_obs)
        if not same:
            cells = data.obs_names.get_indexer(part.adata.obs_names)
        empty = np.diff(counts.indptr) == 0
        if part.columns is not None and not empty.all():  # one matrix, so not measured
            counts, cells = counts[~empty], cells[~empty]
        found[modality] = _measured(counts, cells, modality)
    var = parts[RNA].adata.var
    var = var if parts[RNA].columns is None else var[parts[RNA].columns]
    atac = found.get(ATAC) or _predicted(model, z, use_rep)
    peaks = names.get(ATAC, model.spec.features[ATAC])
    return LinkCells(z, found[RNA], atac, names[RNA], peaks, var, parts[RNA].where)


def _measured(counts: sp.csr_matrix, cells: np.ndarray, modality: str) -> Measured:
    values = log_expression(counts) if modality == RNA else opened(counts)
    total = np.asarray((counts if modality == RNA else values).sum(1)).ravel()
    return Measured(values, cells, np.log1p(total))


def _predicted(model: SCMOMER, z: np.ndarray, use_rep: str | None) -> PredictedPeaks:
    """Return the decoder of accessibility in the coordinates of the embedding."""
    if use_rep is not None:
        msg = (
            f"Expected data with ATAC for use_rep=, found none and use_rep={use_rep!r}. Leave out "
            "use_rep=: peaks are then predicted by the model."
        )
        raise ValueError(msg)
    logger.info("The data have no ATAC: genes are linked to the accessibility that RNA predicts.")
    decoder = model.module.modality(ATAC).decoder
    basis = model.module.basis.detach().cpu().double().numpy()
    slopes = decoder.slopes().cpu().double().numpy() @ np.linalg.pinv(basis).T
    center = torch.as_tensor(z.mean(0, keepdims=True) @ np.linalg.pinv(basis)).float()
    with torch.no_grad():
        logit = decoder(center.to(model.module.device))[0].cpu().numpy()
    return PredictedPeaks(slopes, logit)
