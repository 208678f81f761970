"""Finding modalities and columns in AnnData and MuData."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer._constants import MODALITIES, PROTEIN

_MODALITY_KEYS = (*(f"{m}_layer" for m in MODALITIES), "batch_key", "labels_key")
_OTHER_NAMES = {PROTEIN: ("prot", "adt")}  # muon's and CITE-seq's


def check_container(data: object) -> None:
    """Raise if `data` is neither AnnData nor MuData."""
    if not isinstance(data, AnnData | MuData):
        msg = f"Expected an AnnData or a MuData, found {type(data).__name__}."
        raise TypeError(msg)


def default_keys(modality: str) -> tuple[str, ...]:
    """Return the keys under which a modality is looked for."""
    return (modality, *_OTHER_NAMES.get(modality, ()))


def resolve_modalities(
    mdata: MuData, modalities: Mapping[str, str | None] | None
) -> dict[str, str]:
    """Return the MuData key of each of scmomer's modalities.

    Parameters
    ----------
    mdata
        Container.
    modalities
        As in MULTIVI, ``{"rna_layer": "gex", "atac_layer": "peaks"}``, or shorter
        ``{"rna": "gex", "atac": "peaks"}``. Those not named are looked for as ``rna``, ``atac``
        and ``protein`` (or ``prot``, ``adt``); None leaves one out.

    Raises
    ------
    KeyError
        If a named modality is absent, or there are not two of them.
    """
    names = dict(modalities or {})
    allowed = {*_MODALITY_KEYS, *MODALITIES}
    if unknown := sorted(set(names) - allowed):
        msg = f"Expected keys of modalities among {sorted(allowed)}, found {unknown}."
        raise ValueError(msg)
    chosen: dict[str, str] = {}
    for m in MODALITIES:
        if m in names or f"{m}_layer" in names:
            key = names.get(m, names.get(f"{m}_layer"))
        else:
            key = next((k for k in default_keys(m) if k in mdata.mod), None)
        if key is not None:
            chosen[m] = key
    missing = [key for key in chosen.values() if key not in mdata.mod]
    if missing or len(chosen) < 2:
        expected = sorted(chosen.values()) if missing else f"at least two of {list(MODALITIES)}"
        msg = (
            f"Expected {expected} in the MuData, found {sorted(mdata.mod)}. Name them, "
            "for example modalities={'rna_layer': 'gex', 'atac_layer': 'peaks'}, or register one "
            "modality alone with scmomer.pp.setup_anndata."
        )
        raise KeyError(msg)
    return chosen


def find_column(data: AnnData | MuData, key: str, keys: Mapping[str, str]) -> str | None:
    """Return where the obs column `key` is: None for ``data.obs``, else the modality's key.

    Raises
    ------
    KeyError
        If it is nowhere; lists the columns that there are.
    """
    if key in data.obs:
        return None
    places = {"data.obs": list(data.obs.columns)}
    for modality in keys.values() if isinstance(data, MuData) else ():
        if key in data[modality].obs:
            return modality
        places[f"data['{modality}'].obs"] = list(data[modality].obs.columns)
    listing = "; ".join(f"{place} has {columns}" for place, columns in places.items())
    msg = (
        f"Expected a column {key!r} of obs, found none: {listing}. "
        "Name one of these in batch_key= or labels_key=, or leave it out."
    )
    raise KeyError(msg)


def read_column(data: AnnData | MuData, key: str, place: str | None) -> pd.Series:
    """Return the obs column of every cell of `data`; NaN where a modality lacks the cell."""
    if place is None:
        return data.obs[key]
    return data[place].obs[key].reindex(data.obs_names)


def obs_column(data: AnnData | MuData, key: str) -> pd.Series:
    """Return an obs column of every cell, of ``data.obs`` or else of a modality's obs.

    Raises
    ------
    KeyError
        If it is nowhere; lists the columns that there are.
    """
    mods = {m: m for m in data.mod} if isinstance(data, MuData) else {}
    return read_column(data, key, find_column(data, key, mods))


def codes(column: pd.Series, categories: list[str]) -> np.ndarray:
    """Return the code of each value among `categories`, -1 for others, ``(n,)`` int64."""
    values = column.astype("object").where(column.notna(), None)
    as_text = values.map(lambda v: None if v is None else str(v))
    return pd.Index(categories).get_indexer(pd.Index(as_text)).astype(np.int64)


def categories_of(column: pd.Series) -> list[str]:
    """Return the distinct values as sorted strings; missing values are none."""
    return sorted({str(v) for v in column.dropna().unique()})
