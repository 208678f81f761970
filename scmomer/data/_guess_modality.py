"""The modality of features, inferred from ``var`` and from their names."""

from __future__ import annotations

import re
from typing import Final, cast

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer._constants import ATAC, RNA, Modality
from scmomer.data._messages import assigned
from scmomer.module import MODALITY_TYPES, are_peaks, looks_like_peaks

_COLUMNS: Final = ("feature_types", "feature_type", "modality")
# Fewer features of a second kind do not count as a modality.
_MIN_FEATURES = 20


def modality_named(name: object) -> Modality | None:
    """Return the modality with a usual name, in upper or lower case: GEX, Peaks, ADT, ..."""
    plain = re.sub(r"[\W_]+", " ", str(name)).strip().lower()
    found = (m for m, kind in MODALITY_TYPES.items() if re.fullmatch(kind.usual_names, plain))
    return cast(Modality | None, next(found, None))


def declared_modalities(adata: AnnData) -> np.ndarray | None:
    """Return the modality of each feature according to ``var["feature_types"]``, ``(n_vars,)``.

    Features of other kinds, such as guides, have an empty string. None if no column of var names a
    modality.
    """
    for column in _COLUMNS:
        if column in adata.var:
            values = adata.var[column].astype(object)
            named = {value: modality_named(value) or "" for value in pd.unique(values)}
            if any(named.values()):
                return values.map(named).to_numpy(dtype=object)
    return None


def modality_masks(adata: AnnData) -> dict[str, np.ndarray]:
    """Return the features of each modality in an AnnData, ``(n_vars,)`` bool masks.

    Taken from var, or else from names: genomic intervals are peaks, everything else is a gene.
    Proteins are recognized by var only.
    """
    declared = declared_modalities(adata)
    if declared is None:
        peaks = are_peaks(adata.var_names)
        n_peaks, n_others = int(peaks.sum()), int((~peaks).sum())
        if min(n_peaks, n_others) < _MIN_FEATURES:
            modality = ATAC if n_peaks > n_others else RNA
            return {modality: np.ones(adata.n_vars, bool)}
        return {RNA: ~peaks, ATAC: peaks}
    return {m: declared == m for m in MODALITY_TYPES if (declared == m).any()}


def looks_like(adata: AnnData) -> Modality:
    """Return the modality of most features of an AnnData."""
    declared = declared_modalities(adata)
    if declared is not None:
        return cast(Modality, max(MODALITY_TYPES, key=lambda m: int((declared == m).sum())))
    return ATAC if looks_like_peaks(adata.var_names) else RNA


def describe(parts: dict[str, np.ndarray]) -> str:
    """Return the content of an AnnData for messages: ``800 genes and 600 peaks``."""
    counts = [f"{int(mask.sum())} {MODALITY_TYPES[m].feature_name}" for m, mask in parts.items()]
    return " and ".join([", ".join(counts[:-1]), counts[-1]] if len(counts) > 1 else counts)


def check_one_modality(
    adata: AnnData, where: str = "adata", wanted: Modality | None = None, layer: str | None = None
) -> None:
    """Raise if an AnnData holds features of several modalities.

    Parameters
    ----------
    adata, where
        The data, and their name in messages.
    wanted
        The modality that the caller reads; None for any.
    layer
        Layer with the counts.

    Raises
    ------
    ValueError
        Names the parts and a line of code that splits them.
    """
    parts = modality_masks(adata)
    split = f"scmomer.pp.split_modalities({where}{f', layer={layer!r}' if layer else ''})"
    n_others = adata.n_vars - int(np.sum(list(parts.values())))
    if len(parts) == 1 and n_others:
        (modality,) = parts
        msg = (
            f"Expected features of one modality in {where}, found {describe(parts)} and {n_others} "
            f"of other types. Leave them out: `{assigned(where)} = {split}[{modality!r}]`."
        )
        raise ValueError(msg)
    if len(parts) < 2:
        return
    if wanted in parts:
        kept = f"{assigned(where)} = {split}[{wanted!r}]"
        remedy = f"Keep only the {MODALITY_TYPES[wanted].feature_name}: `{kept}`."
    else:
        remedy = (
            f"Split them: `mdata = {split}`, and pass one of "
            f"{', '.join(f'mdata[{m!r}]' for m in parts)}, or mdata to scmomer.pp.setup_mudata."
        )
    msg = f"Expected features of one modality in {where}, found {describe(parts)}. {remedy}"
    raise ValueError(msg)
