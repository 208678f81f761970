"""Registration: check a container and return the fields for scvi-tools' AnnDataManager."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManager, fields
from scvi.data._manager import AnnDataManagerValidationCheck

from scmomer._constants import FIELDS, RNA, Modality
from scmomer.data import (
    ModelSpec,
    Profile,
    assigned,
    check_container,
    check_no_missing,
    check_one_modality,
    check_profile,
    check_some_modality,
    check_unique,
    display_name,
    find_column,
    find_same_cell,
    get_categories,
    get_counts,
    get_expression,
    looks_like,
    read_column,
    resolve_modalities,
    warn,
    warn_empty,
)
from scmomer.module import MODALITY_TYPES


def check_modality(
    adata: AnnData,
    modality: str,
    where: str,
    argument: str,
    layers: Mapping[str, str | None],
    profile: Profile = "counts",
) -> None:
    """Raise if an AnnData cannot serve as `modality`.

    `layers` has the layers of all modalities by argument; `argument` is the one of this modality;
    `profile` is what the values of RNA are.
    """
    layer = layers[argument]
    check_not_view(adata, where)
    if adata.n_obs == 0 or adata.n_vars == 0:
        msg = f"Expected cells and features in {where}, found shape {adata.shape}."
        raise ValueError(msg)
    check_unique(adata.var_names, f"{where}.var_names")
    check_unique(adata.obs_names, f"{where}.obs_names")
    MODALITY_TYPES[modality].check_names(adata.var_names, f"{where}.var_names", adata.var)
    # Named in full, because scmomer.load, which also leads here, lacks this argument.
    verb = "setup_anndata" if argument == "layer" else "setup_mudata"
    named = f"{argument}={{}} to scmomer.pp.{verb}"
    if modality == RNA:
        counts = get_expression(adata, layer, where, named, profile).counts
    else:
        counts = get_counts(adata, layer, where, named)
    warn_empty(np.diff(counts.indptr) == 0, modality, where, layers)


def check_trainable(profile: Profile, modalities: Iterable[str]) -> None:
    """Raise if a model cannot be trained on a profile of RNA."""
    check_profile(profile)
    if profile == "zscore":
        msg = (
            "Expected profile='counts' or 'normalized' to train a model, found 'zscore': z-scores "
            "lack the level of each gene, which the decoders predict. Train on counts or normalized "
            "expression; a trained model reads z-scores: "
            "model.get_latent_representation(adata, profile='zscore')."
        )
        raise ValueError(msg)
    if profile != "counts" and RNA not in modalities:
        msg = (
            f"Expected RNA with profile={profile!r}, found {[*modalities]}. Leave out profile=: "
            "other modalities are always counts."
        )
        raise ValueError(msg)


def check_not_view(data: AnnData | MuData, where: str) -> None:
    """Raise if `data` is a view: registration writes into obs and uns."""
    if data.is_view:
        msg = (
            f"Expected data of its own in {where}, found a view, which cannot be registered. Run "
            f"`{assigned(where)} = {where}.copy()` first."
        )
        raise ValueError(msg)


def check_column(data: AnnData | MuData, key: str | None, keys: Mapping[str, str]) -> str | None:
    """Return the place of a column (None: ``data.obs``); raise if it has missing values."""
    if key is None:
        return None
    place = find_column(data, key, keys)
    column = (data if place is None else data[place]).obs[key]
    remedy = "Give these cells a separate name, such as 'unknown', or drop them."
    check_no_missing(column, f"a value of {key!r}", remedy)
    owner = ("mdata" if isinstance(data, MuData) else "adata") + (f"[{place!r}]" if place else "")
    _check_one_type(column, key, f"{owner}.obs")
    n_lacking = int(read_column(data, key, place).isna().sum())
    if n_lacking:
        warn(
            f"{n_lacking} of {data.n_obs} cells have no {key!r}: no modality with this column has "
            f"them. They count as having no batch or type. Put the column into mdata.obs[{key!r}]."
        )
    return place


def _check_one_type(column: pd.Series, key: str, where: str) -> None:
    """Raise if values have several types, such as 1 and "1", which cannot be sorted."""
    values = column.cat.categories if hasattr(column, "cat") else column.unique()
    try:
        sorted(values)
    except TypeError as error:
        types = sorted({type(value).__name__ for value in values})
        msg = (
            f"Expected values of one type in {key!r}, found {types}. Convert them to text: "
            f"`{where}[{key!r}] = {where}[{key!r}].astype(str)`."
        )
        raise ValueError(msg) from error


def mudata_fields(
    mdata: MuData,
    layers: Mapping[str, str | None],
    batch_key: str | None,
    labels_key: str | None,
    modalities: Mapping[str, str | None] | None,
    profile: Profile,
) -> list[Any]:
    """Check a MuData and return the fields to register."""
    check_container(mdata)
    check_not_view(mdata, display_name(mdata))
    keys = resolve_modalities(mdata, modalities)
    check_trainable(profile, keys)
    options = {f"{modality}_layer": layers[modality] for modality in keys}
    for modality, key in keys.items():
        where = f"mdata[{key!r}]"
        check_modality(mdata[key], modality, where, f"{modality}_layer", options, profile)
    _check_pairs(mdata, list(keys.values()))
    return [
        *(
            fields.MuDataLayerField(
                MODALITY_TYPES[modality].registry_key,
                layers[modality],
                mod_key=keys[modality],
                is_count_data=False,  # checked above with better messages
                correct_data_format=False,  # would rewrite the user's matrix
                mod_required=True,
            )
            for modality in keys
        ),
        *(
            fields.MuDataCategoricalObsField(field, key, mod_key=check_column(mdata, key, keys))
            for field, key in ((FIELDS.BATCH, batch_key), (FIELDS.LABELS, labels_key))
        ),
    ]


def _check_pairs(mdata: MuData, keys: list[str]) -> None:
    """Raise if a cell has no modality, or a modality shares fewer than two cells with others."""
    has = np.stack([mdata.obs_names.isin(mdata[key].obs_names) for key in keys])  # (n_mod, n_obs)
    check_some_modality(mdata, has, keys, [f"mdata[{key!r}]" for key in keys])
    shared = (has & (has.sum(0) > 1)).sum(1)  # cells that also have another modality
    if shared.min() >= 2:
        return
    lonely = keys[int(shared.argmin())]
    partners = " or ".join(repr(key) for key in keys if key != lonely)
    msg = (
        f"Expected at least 2 cells with both {lonely!r} and {partners}, found {shared.min()} of "
        f"{mdata.n_obs}. Cells are matched by obs_names: use the same names in all modalities. "
        "If no cell was measured twice, scmomer.pp.pair_cells pairs similar cells."
    )
    for other in keys:
        same = find_same_cell(mdata[lonely].obs_names, mdata[other].obs_names)
        if other != lonely and same is not None:
            msg += (
                f" {same[0]!r} of {lonely!r} and {same[1]!r} of {other!r} seem to be the same "
                "cell: use one name in both AnnData, and build the MuData again."
            )
            break
    raise ValueError(msg)


def anndata_fields(
    adata: AnnData,
    modality: Modality,
    layer: str | None,
    batch_key: str | None,
    labels_key: str | None,
    profile: Profile,
) -> list[Any]:
    """Check an AnnData of one modality and return the fields to register."""
    check_not_view(adata, display_name(adata))
    check_trainable(profile, [modality])
    check_modality(adata, modality, "adata", "layer", {"layer": layer}, profile)
    for key in (batch_key, labels_key):
        check_column(adata, key, {})
    return [
        fields.LayerField(
            MODALITY_TYPES[modality].registry_key,
            layer,
            is_count_data=False,
            correct_data_format=False,
        ),
        fields.CategoricalObsField(FIELDS.BATCH, batch_key),
        fields.CategoricalObsField(FIELDS.LABELS, labels_key),
    ]


def detect_modality(adata: AnnData, modality: str | None, layer: str | None = None) -> Modality:
    """Return the named modality, or the one that the features look like."""
    if modality is None:
        check_one_modality(adata, layer=layer)
        return looks_like(adata)
    if modality not in MODALITY_TYPES:
        msg = f"Expected modality to be one of {list(MODALITY_TYPES)} or None, found {modality!r}."
        raise ValueError(msg)
    return modality  # type: ignore[return-value]


def make_manager(fields_: list[Any], setup_method_args: dict[str, Any]) -> AnnDataManager:
    """Return a manager that accepts cells without the other modality."""
    return AnnDataManager(
        fields=fields_,
        setup_method_args=setup_method_args,
        validation_checks=AnnDataManagerValidationCheck(check_fully_paired_mudata=False),
    )


def read_spec(data: AnnData | MuData, setup_args: dict[str, Any]) -> ModelSpec:
    """Return features, batches and labels of registered data."""
    if isinstance(data, MuData):
        keys = resolve_modalities(data, setup_args["modalities"])
        layers = {m: setup_args.get(f"{m}_layer") for m in keys}
        features = {m: pd.Index(data[key].var_names.astype(str)) for m, key in keys.items()}
    else:
        keys, modality = {}, setup_args["modality"]
        layers = {modality: setup_args["layer"]}
        features = {modality: pd.Index(data.var_names.astype(str))}
    names = {}
    for name in ("batch_key", "labels_key"):
        key = setup_args[name]
        if key is not None:
            column = read_column(data, key, find_column(data, key, keys))
            names[name] = get_categories(column)
    return ModelSpec(
        features=features,
        modality_keys=keys,
        layers=layers,
        batch_key=setup_args["batch_key"],
        labels_key=setup_args["labels_key"],
        batches=names.get("batch_key", []),
        labels=names.get("labels_key", []),
        profile=setup_args.get("profile", "counts"),
    )
