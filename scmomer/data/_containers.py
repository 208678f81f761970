"""Modalities and obs columns of AnnData and MuData."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer._constants import PROTEIN, RNA
from scmomer.data._guess_modality import looks_like, modality_named
from scmomer.data._messages import display_name, warn
from scmomer.data._names import check_unique, examples
from scmomer.module import MODALITY_TYPES


def check_container(data: object) -> None:
    """Raise unless `data` is an AnnData, or an up-to-date MuData whose modalities share cells."""
    if not isinstance(data, AnnData | MuData):
        msg = f"Expected an AnnData or a MuData, found {type(data).__name__}."
        raise TypeError(msg)
    if isinstance(data, MuData):
        _check_kind(data)
        _check_up_to_date(data)


def _check_kind(mdata: MuData) -> None:
    """Raise if a modality is not an AnnData, or modalities differ in cells instead of features."""
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
        return  # an error when modalities are looked up
    names = [adata.obs_names for adata in mdata.mod.values()]
    if all(n.equals(mdata.obs_names) for n in names):
        return
    of_modalities = pd.Index(pd.unique(np.concatenate([n.to_numpy(object) for n in names])))
    for names_here, known, text in (
        (mdata.obs_names, of_modalities, "cells of the MuData that none of its modalities has"),
        (of_modalities, mdata.obs_names, "cells of its modalities that the MuData does not list"),
    ):
        stray = names_here[~names_here.isin(known)]
        if len(stray):
            msg = (
                f"Expected a MuData with the cells of its modalities, found {len(stray)} {text}, "
                f"such as {examples(stray)}: a modality was filtered or replaced. Run "
                f"`{display_name(mdata)}.update()` first."
            )
            raise ValueError(msg)


def usual_keys(mdata: MuData, modality: str) -> list[str]:
    """Return the MuData keys that are usual names of a modality; `modality` alone if present."""
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
        ``{"rna": "gex", "atac": "peaks"}``. Further modalities are looked up by their usual names,
        in upper or lower case: ``rna`` or ``GEX``, ``atac`` or ``peaks``, ``protein`` or ``ADT``.
        None leaves a modality out.

    Raises
    ------
    KeyError
        If a named modality is absent, or fewer than two are found.
    ValueError
        If a name is unknown, several keys have a usual name of one modality, or a key is named
        twice.

    Warns
    -----
    UserWarning
        If an unused modality looks like one that was not found.
    """
    names = dict(modalities or {})
    allowed = {*(f"{m}_layer" for m in MODALITY_TYPES), *MODALITY_TYPES, "batch_key", "labels_key"}
    if unknown := sorted(set(names) - allowed):
        msg = f"Expected keys of modalities among {sorted(allowed)}, found {unknown}."
        raise ValueError(msg)
    named: dict[str, str | None] = {
        m: names[key] for m in MODALITY_TYPES for key in (f"{m}_layer", m) if key in names
    }
    chosen: dict[str, str] = {
        m: key for m in MODALITY_TYPES if (key := _find_key(mdata, m, named)) is not None
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
        msg = (
            f"Expected a separate key for each modality, found {twice[0]!r} for several: {chosen}."
        )
        raise ValueError(msg)
    for modality, key in unused.items():
        _warn_unused(key, modality, f"modalities={_by_argument(chosen, {modality: key})}")
    return chosen


def _by_argument(named: Mapping[str, str | None], more: Mapping[str, str]) -> dict[str, str | None]:
    """Return named and further modalities in the form of the argument `modalities`."""
    return {f"{m}_layer": key for m, key in {**named, **more}.items()}


def _example(mdata: MuData, known: Mapping[str, str]) -> str:
    """Return an example of `modalities` for messages; ``""`` if none can be inferred."""
    found = dict(known)
    for key in mdata.mod:
        # Undeclared genes and proteins look alike: the second of two is taken as protein.
        modality = looks_like(mdata[key])
        modality = PROTEIN if modality == RNA and RNA in found else modality
        if key not in found.values() and modality not in found:
            found[modality] = key
    if len(found) < 2:
        return ""
    return f", for example modalities={_by_argument(found, {})}"


def _find_key(mdata: MuData, modality: str, named: Mapping[str, str | None]) -> str | None:
    """Return the key that the user named, or the one with a usual name."""
    if modality in named:
        return named[modality]
    keys = [key for key in usual_keys(mdata, modality) if key not in named.values()]
    if len(keys) > 1:
        msg = (
            f"Expected one modality of {MODALITY_TYPES[modality].feature_name} in the MuData, "
            f"found {keys}. Name "
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
    warn(
        f"mdata[{key!r}] is not used but looks like {MODALITY_TYPES[modality].feature_name}. "
        "To use it, "
        f"pass {remedy}. To silence this warning, set {modality}_layer to None there."
    )


def find_column(
    data: AnnData | MuData,
    key: str,
    keys: Mapping[str, str],
    argument: str | None = "batch_key= or labels_key=",
) -> str | None:
    """Return where the obs column `key` is: None for ``data.obs``, else the modality's key.

    `argument` is the caller's, for messages.

    Raises
    ------
    KeyError
        If there is no such column; lists those present.
    TypeError
        If `key` cannot be a column name.
    """
    if not isinstance(key, Hashable):
        msg = f"Expected the name of one column in {argument}, found {key!r}. Pass one name."
        raise TypeError(msg)
    if key in data.obs:
        return None
    name = display_name(data)
    places = {f"{name}.obs": list(data.obs.columns)}
    for modality in keys.values() if isinstance(data, MuData) else ():
        if key in data[modality].obs:
            return modality
        places[f"{name}[{modality!r}].obs"] = list(data[modality].obs.columns)
    listing = "; ".join(f"{place} has {columns}" for place, columns in places.items())
    where = "" if argument is None else f" in {argument}"
    msg = f"There is no column {key!r} in obs: {listing}. Name one of them{where}."
    raise KeyError(msg)


def read_column(data: AnnData | MuData, key: str, place: str | None) -> pd.Series:
    """Return the obs column at `place` for every cell of `data`.

    A cell that this modality lacks has the value of the first other modality with the cell and the
    column, or NaN.
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
    """Return an obs column for every cell of `data`.

    Looked up in ``data.obs`` and then, in a MuData, in the obs of its modalities (see
    :func:`read_column`). `argument` is the caller's, for messages.

    Raises
    ------
    KeyError
        If there is no such column; lists those present.
    """
    mods = {m: m for m in data.mod} if isinstance(data, MuData) else {}
    return read_column(data, key, find_column(data, key, mods, argument))


def check_no_missing(
    values: pd.Series | np.ndarray, what: str, remedy: str, unit: str = "cell"
) -> None:
    """Raise if a value is missing; messages call it `what`, such as ``"a label"``."""
    if n_missing := int(pd.isna(values).sum()):
        msg = (
            f"Expected {what} for every {unit}, found {n_missing} of {len(values)} missing (NaN). "
            f"{remedy}"
        )
        raise ValueError(msg)


def check_some_modality(
    data: AnnData | MuData,
    has: np.ndarray,
    modalities: Sequence[str],
    places: Sequence[str],
    remedy: str = "",
) -> None:
    """Raise if a cell has no modality.

    Parameters
    ----------
    data, has
        The data, and which cells have each modality, ``(n_modalities, n_cells)`` bool.
    modalities, places
        Names of the modalities and of their AnnData, for messages.
    remedy
        The line of code that drops cells without a modality; by default for a MuData.
    """
    lacking = data.obs_names[~has.any(0)]
    if lacking.empty:
        return
    name, (first, *rest) = display_name(data), (f"{place}.obs_names" for place in places)
    cells = first + "".join(f".union({names})" for names in rest)
    msg = (
        f"Expected cells with at least one of {modalities}, found {len(lacking)} of {data.n_obs} "
        f"with none, such as {examples(lacking)}. Leave them out: "
        f"`{remedy or f'{name} = {name}[{name}.obs_names.isin({cells})].copy()'}`."
    )
    raise ValueError(msg)


def as_text(value: object) -> str:
    """Return a batch or type as text; 1.0 is "1", because pandas turns 1 into 1.0 beside NaN."""
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else str(value)  # type: ignore[call-overload]


def obs_columns(data: AnnData | MuData) -> list[str]:
    """Return the names that :func:`obs_column` can find, for messages."""
    mods = data.mod.values() if isinstance(data, MuData) else ()
    return list(dict.fromkeys(name for part in (data, *mods) for name in part.obs.columns))


def with_values(data: AnnData | MuData, key: str) -> str:
    """Return the line of code that drops cells without a value of :func:`obs_column`."""
    name = display_name(data)
    if key in data.obs:
        have = f"{name}.obs[{key!r}].notna()"
    else:
        mods = [m for m in data.mod if key in data[m].obs]
        have = " | ".join(
            f"{name}[{m!r}].obs[{key!r}].reindex({name}.obs_names).notna()" for m in mods
        )
    return f"{name} = {name}[{have}].copy()"


def codes(column: pd.Series, categories: list[str]) -> np.ndarray:
    """Return the position of each value in `categories`, -1 if absent, ``(n,)`` int64."""
    values = column.astype("object").where(column.notna(), None)
    names = values.map(lambda v: None if v is None else as_text(v))
    return pd.Index(categories).get_indexer(pd.Index(names)).astype(np.int64)


def as_groups(column: pd.Series) -> pd.Categorical:
    """Return groups as text, in the order of categories or else sorted, without empty ones."""
    column = column.astype("category").cat.remove_unused_categories()
    return column.cat.rename_categories(as_text).array


def get_categories(column: pd.Series) -> list[str]:
    """Return the distinct values as sorted strings, without missing ones."""
    return sorted({as_text(v) for v in column.dropna().unique()})


def find_same_cell(one: pd.Index, other: pd.Index) -> tuple[str, str] | None:
    """Return two names of what seems to be one cell, if modalities name cells differently.

    Names are compared by their barcode, or else without a number at the end.
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
