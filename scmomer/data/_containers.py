"""Finding modalities and columns in AnnData and MuData."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi import settings

from scmomer._constants import PROTEIN, RNA
from scmomer.data._evidence import looks_like, modality_named
from scmomer.data._names import check_unique, examples
from scmomer.data._texts import name_of
from scmomer.module import MODALITY_TYPES


def check_container(data: object) -> None:
    """Raise unless `data` is an AnnData, or an up-to-date MuData of modalities of the same cells."""
    if not isinstance(data, AnnData | MuData):
        msg = f"Expected an AnnData or a MuData, found {type(data).__name__}."
        raise TypeError(msg)
    if isinstance(data, MuData):
        _check_kind(data)
        _check_up_to_date(data)


def _check_kind(mdata: MuData) -> None:
    """Raise if modalities are no AnnData, or are other cells rather than other features."""
    for key, adata in mdata.mod.items():
        if not isinstance(adata, AnnData):
            msg = (
                f"Expected an AnnData in mdata[{key!r}], found a {type(adata).__name__}. Pass it "
                f"by itself: `mdata = mdata[{key!r}]`."
            )
            raise ValueError(msg)
    if mdata.axis == 1:
        msg = (
            "Expected a MuData whose modalities share cells (axis=0), found one whose parts share "
            f"features (axis=1): {list(mdata.mod)}. If they are modalities, run `mdata = "
            "mudata.MuData(dict(mdata.mod))`; if they are data sets of one modality, `adata = "
            "anndata.concat(dict(mdata.mod), index_unique='-')`."
        )
        raise ValueError(msg)


def _check_up_to_date(mdata: MuData) -> None:
    """Raise if the cells of a MuData are not those of its modalities."""
    if not mdata.mod:
        return  # whoever looks for modalities says that there are none
    names = [adata.obs_names for adata in mdata.mod.values()]
    if all(n.equals(mdata.obs_names) for n in names):
        return
    of_modalities = pd.Index(pd.unique(np.concatenate([n.to_numpy(object) for n in names])))
    for these, those, text in (
        (mdata.obs_names, of_modalities, "cells of the MuData that none of its modalities has"),
        (of_modalities, mdata.obs_names, "cells of its modalities that the MuData does not list"),
    ):
        stray = these[~these.isin(those)]
        if len(stray):
            msg = (
                f"Expected a MuData with the cells of its modalities, found {len(stray)} {text}, "
                f"such as {examples(stray)}: a modality was filtered or replaced. Run "
                f"`{name_of(mdata)}.update()` first."
            )
            raise ValueError(msg)


def usual_keys(mdata: MuData, modality: str) -> list[str]:
    """Return the keys of a MuData that are usual names of a modality; its own name alone if there."""
    if modality in mdata.mod:
        return [modality]
    return [key for key in mdata.mod if modality_named(key) == modality]


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
        ``{"rna": "gex", "atac": "peaks"}``. Those not named are looked for under their usual names
        in any case, such as ``rna`` or ``GEX``, ``atac`` or ``peaks``, ``protein`` or ``ADT``; None
        leaves one out.

    Raises
    ------
    KeyError
        If a named modality is absent, or there are not two of them.
    ValueError
        If a name is unknown, several keys could be meant, or one is named twice.

    Warns
    -----
    UserWarning
        If a modality is left unused that looks like one that was not found.
    """
    names = dict(modalities or {})
    allowed = {*(f"{m}_layer" for m in MODALITY_TYPES), *MODALITY_TYPES, "batch_key", "labels_key"}
    if unknown := sorted(set(names) - allowed):
        msg = f"Expected keys of modalities among {sorted(allowed)}, found {unknown}."
        raise ValueError(msg)
    named: dict[str, str | None] = {
        m: names.get(m, names.get(f"{m}_layer")) for m in MODALITY_TYPES if _is_named(m, names)
    }
    chosen: dict[str, str] = {
        m: key for m in MODALITY_TYPES if (key := _key_of(mdata, m, named)) is not None
    }
    missing = [key for key in chosen.values() if key not in mdata.mod]
    unused = _look_alikes(mdata, chosen, named)
    if missing or len(chosen) < 2:
        expected = sorted(chosen.values()) if missing else f"at least two of {list(MODALITY_TYPES)}"
        there = {m: key for m, key in chosen.items() if key in mdata.mod}
        msg = (
            f"Expected {expected} in the MuData, found {sorted(mdata.mod)}. Name them in "
            f"modalities={_example(mdata, there | unused)}, or register one modality alone, as in "
            f"scmomer.pp.setup_anndata(mdata[{next(iter(mdata.mod), RNA)!r}].copy())."
        )
        raise KeyError(msg)
    twice = [key for key in set(chosen.values()) if [*chosen.values()].count(key) > 1]
    if twice:
        msg = f"Expected a key of its own for each modality, found {twice[0]!r} for several: {chosen}."
        raise ValueError(msg)
    for modality, key in unused.items():
        _warn_unused(key, modality, f"modalities={_by_argument(chosen, {modality: key})}")
    return chosen


def _by_argument(named: Mapping[str, str | None], more: Mapping[str, str]) -> dict[str, str | None]:
    """Return what the user names and more, as `modalities` takes it."""
    return {f"{m}_layer": key for m, key in {**named, **more}.items()}


def _example(mdata: MuData, known: Mapping[str, str]) -> str:
    """Return what `modalities` could be, for messages; ``""`` if that cannot be told."""
    found = dict(known)
    for key in mdata.mod:
        # Genes and proteins that nothing declares look alike; of two such, one is protein.
        modality = looks_like(mdata[key])
        modality = PROTEIN if modality == RNA and RNA in found else modality
        if key not in found.values() and modality not in found:
            found[modality] = key
    if len(found) < 2:
        return ""
    return f", for example modalities={_by_argument(found, {})}"


def _is_named(modality: str, names: Mapping[str, str | None]) -> bool:
    return modality in names or f"{modality}_layer" in names


def _key_of(mdata: MuData, modality: str, named: Mapping[str, str | None]) -> str | None:
    """Return the key that the user names, or the one with a usual name."""
    if modality in named:
        return named[modality]
    keys = [key for key in usual_keys(mdata, modality) if key not in named.values()]
    if len(keys) > 1:
        msg = (
            f"Expected one modality of {MODALITY_TYPES[modality].feature_name} in the MuData, found {keys}. Name "
            f"the one to use: modalities={_by_argument(named, {modality: keys[0]})}."
        )
        raise ValueError(msg)
    return keys[0] if keys else None


def _look_alikes(
    mdata: MuData, chosen: Mapping[str, str], named: Mapping[str, str | None]
) -> dict[str, str]:
    """Return keys of unused modalities that look like one that was neither found nor left out."""
    found: dict[str, str] = {}
    for key, adata in mdata.mod.items():
        if key not in chosen.values():
            modality = looks_like(adata)
            if modality not in {*chosen, *named, *found}:
                found[modality] = key
    return found


def _warn_unused(key: str, modality: str, remedy: str) -> None:
    warnings.warn(
        f"mdata[{key!r}] is not used, although it looks like {MODALITY_TYPES[modality].feature_name}. If it is "
        f"to be used, pass {remedy}; with {modality}_layer None it is left out without this warning.",
        UserWarning,
        stacklevel=settings.warnings_stacklevel,
    )


def find_column(
    data: AnnData | MuData,
    key: str,
    keys: Mapping[str, str],
    argument: str | None = "batch_key= or labels_key=",
) -> str | None:
    """Return where the obs column `key` is: None for ``data.obs``, else the modality's key.

    `argument` is how messages name the caller's, if they do.

    Raises
    ------
    KeyError
        If it is nowhere; lists the columns that there are.
    TypeError
        If `key` is no name of a column.
    """
    if not isinstance(key, Hashable):
        msg = f"Expected the name of one column in {argument}, found {key!r}. Pass one name."
        raise TypeError(msg)
    if key in data.obs:
        return None
    name = name_of(data)
    places = {f"{name}.obs": list(data.obs.columns)}
    for modality in keys.values() if isinstance(data, MuData) else ():
        if key in data[modality].obs:
            return modality
        places[f"{name}[{modality!r}].obs"] = list(data[modality].obs.columns)
    listing = "; ".join(f"{place} has {columns}" for place, columns in places.items())
    where = "" if argument is None else f" in {argument}"
    msg = f"Expected a column {key!r} of obs, found none: {listing}. Name one of these{where}."
    raise KeyError(msg)


def read_column(data: AnnData | MuData, key: str, place: str | None) -> pd.Series:
    """Return the obs column of every cell of `data`, which is found at `place`.

    Where that modality lacks the cell, the first other one that has cell and column counts; NaN if
    there is none.
    """
    if place is None:
        return data.obs[key]
    if data[place].obs_names.equals(data.obs_names):
        return data[place].obs[key]
    check_unique(data[place].obs_names, f"mdata[{place!r}].obs_names")
    column = data[place].obs[key].reindex(data.obs_names)
    for other, adata in data.mod.items():
        if other != place and key in adata.obs and column.isna().any():
            values = adata.obs[key].astype(object).reindex(data.obs_names)
            column = column.astype(object).where(column.notna(), values)
    return column


def obs_column(data: AnnData | MuData, key: str, argument: str | None = None) -> pd.Series:
    """Return an obs column of every cell of `data`, wherever it is.

    Looked up in ``data.obs``; in a MuData that lacks it, in the obs of its modalities, see
    :func:`read_column`. `argument` is how messages name the caller's.

    Raises
    ------
    KeyError
        If it is nowhere; lists the columns that there are.
    """
    mods = {m: m for m in data.mod} if isinstance(data, MuData) else {}
    return read_column(data, key, find_column(data, key, mods, argument))


def as_text(value: object) -> str:
    """Return the name of a batch or type; 1.0 is 1, as pandas turns 1 into it beside a gap."""
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else str(value)  # type: ignore[call-overload]


def columns_of(data: AnnData | MuData) -> list[str]:
    """Return the names that :func:`obs_column` finds, for messages."""
    mods = data.mod.values() if isinstance(data, MuData) else ()
    return list(dict.fromkeys(name for part in (data, *mods) for name in part.obs.columns))


def with_values(data: AnnData | MuData, key: str) -> str:
    """Return the line that leaves out cells for which :func:`obs_column` has no value."""
    name = name_of(data)
    if key in data.obs:
        have = f"{name}.obs[{key!r}].notna()"
    else:
        mods = [m for m in data.mod if key in data[m].obs]
        have = " | ".join(
            f"{name}[{m!r}].obs[{key!r}].reindex({name}.obs_names).notna()" for m in mods
        )
    return f"{name} = {name}[{have}].copy()"


def codes(column: pd.Series, categories: list[str]) -> np.ndarray:
    """Return the code of each value among `categories`, -1 for others, ``(n,)`` int64."""
    values = column.astype("object").where(column.notna(), None)
    names = values.map(lambda v: None if v is None else as_text(v))
    return pd.Index(categories).get_indexer(pd.Index(names)).astype(np.int64)


def categories_of(column: pd.Series) -> list[str]:
    """Return the distinct values as sorted strings; missing values are none."""
    return sorted({as_text(v) for v in column.dropna().unique()})


def named_otherwise(one: pd.Index, other: pd.Index) -> tuple[str, str] | None:
    """Return two names that seem to be of one cell, if two modalities name the same cells otherwise.

    By the barcode, if there is one, or without a number at the end: AAACGCTCAGTTTACG-1.
    """
    a, b = _plain_cells(one), _plain_cells(other)
    n_shared = int(a.isin(b).sum())
    distinct = min(a.nunique() / max(1, len(a)), b.nunique() / max(1, len(b)))
    if n_shared < 0.5 * max(1, min(len(a), len(b))) or distinct < 0.9:
        return None
    first = int(a.isin(b).argmax())
    return str(one[first]), str(other[int((b == a[first]).argmax())])


def _plain_cells(names: pd.Index) -> pd.Index:
    text = pd.Series(names.astype(str), dtype=object).astype(str)
    barcodes = text.str.extract(r"([ACGTN]{12,})", expand=False)
    return pd.Index(barcodes.fillna(text.str.replace(r"[-_.#]\d+$", "", regex=True)))
