"""From a user's container to the model's cells: find, check, align."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scmomer._constants import FEATURE_NAMES
from scmomer.model._containers import (
    check_container,
    codes,
    find_column,
    read_column,
)
from scmomer.model._counts import get_counts
from scmomer.model._names import align_by_name, check_unique, looks_like
from scmomer.model._spec import ModelSpec
from scmomer.train import Cells

logger = logging.getLogger(__name__)


def guess_modality(adata: AnnData, spec: ModelSpec) -> str:
    """Return which of the model's modalities an AnnData holds, by its feature names.

    Raises
    ------
    ValueError
        If the names look like a modality that the model does not have.
    """
    overlap = {m: int(adata.var_names.isin(f).sum()) for m, f in spec.features.items()}
    best = max(overlap, key=lambda m: overlap[m])
    if overlap[best]:
        return best
    guess = looks_like(adata)
    if guess in spec.features:
        return guess  # aligning names will say what does not match
    msg = (
        f"Expected data of a modality that the model was trained on ({list(spec.modalities)}), "
        f"found an AnnData that looks like {guess!r} ({adata.var_names[:3].tolist()})."
    )
    raise ValueError(msg)


def _modality_adatas(data: AnnData | MuData, spec: ModelSpec) -> dict[str, tuple[AnnData, str]]:
    """Return the AnnData of each modality in `data` and its name for messages."""
    if isinstance(data, AnnData):
        return {guess_modality(data, spec): (data, "adata")}
    found = {}
    for modality in spec.modalities:
        key = spec.key_in(data, modality)
        if key is not None:
            found[modality] = (data[key], f"mdata[{key!r}]")
    if not found:
        keys = [spec.modality_keys.get(m, m) for m in spec.modalities]
        msg = f"Expected at least one of the modalities {keys}, found {sorted(data.mod)}."
        raise KeyError(msg)
    return found


def _on_all_cells(
    counts: sp.csr_matrix, names: pd.Index, all_names: pd.Index, where: str
) -> tuple[sp.csr_matrix, np.ndarray]:
    """Give cells without the modality an empty row; return also which cells have it."""
    if names.equals(all_names):
        return counts, np.ones(len(all_names), bool)
    check_unique(names, f"{where}.obs_names")
    row = names.get_indexer(all_names)  # -1 where the modality lacks the cell
    has = row >= 0
    pick = sp.csr_matrix(
        (np.ones(has.sum(), counts.dtype), (np.flatnonzero(has), row[has])),
        shape=(len(all_names), len(names)),
    )
    return (pick @ counts).tocsr(), has


def read_cells(data: AnnData | MuData, spec: ModelSpec) -> Cells:
    """Return all cells of `data` with counts in the model's feature order.

    Needs no set-up call, no labels and no batch column: cells of an unknown or absent batch get
    code -1.
    """
    check_container(data)
    counts, measured = {}, {}
    for modality, (adata, where) in _modality_adatas(data, spec).items():
        layer = spec.layers.get(modality)
        if layer is not None and layer not in adata.layers:
            logger.info("%s has no layer %r: reading counts from X.", where, layer)
            layer = None
        matrix = get_counts(adata, layer, where)
        expected = spec.features[modality]
        what = FEATURE_NAMES[modality]
        matrix = align_by_name(matrix, adata.var_names, expected, what, where)
        counts[modality], measured[modality] = _on_all_cells(
            matrix, adata.obs_names, data.obs_names, where
        )
    return Cells(
        counts,
        measured,
        batch=_optional_codes(data, spec.batch_key, spec.batches, spec),
        labels=_optional_codes(data, spec.labels_key, spec.labels, spec),
    )


def _optional_codes(
    data: AnnData | MuData, key: str | None, categories: list[str], spec: ModelSpec
) -> np.ndarray | None:
    if key is None:
        return None
    try:
        place = find_column(data, key, _present_keys(data, spec))
    except KeyError:
        return None
    return codes(read_column(data, key, place), categories)


def _present_keys(data: AnnData | MuData, spec: ModelSpec) -> dict[str, str]:
    if isinstance(data, AnnData):
        return {}
    return {m: k for m, k in spec.modality_keys.items() if k in data.mod}
