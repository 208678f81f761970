"""From a container to the model's cells: find, check and align counts."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scmomer._constants import RNA
from scmomer.data import Cells
from scmomer.data._containers import (
    check_container,
    check_some_modality,
    codes,
    find_column,
    find_same_cell,
    read_column,
    usual_keys,
)
from scmomer.data._counts import get_counts, warn_empty
from scmomer.data._guess_modality import declared_modalities, describe, looks_like, modality_masks
from scmomer.data._messages import display_name, layer_argument, warn
from scmomer.data._names import advice, align_by_name, check_unique
from scmomer.data._profile import Profile, get_expression
from scmomer.data._spec import ModelSpec
from scmomer.module import MODALITY_TYPES

logger = logging.getLogger(__name__)
_MIN_SHARE: Final = 0.1  # of a modality's features, to detect it without feature_types


@dataclass(frozen=True)
class Part:
    """The counts of one modality in a container."""

    adata: AnnData
    where: str
    """Name of `adata` in messages."""
    columns: np.ndarray | None = None
    """Features of the modality, ``(n_vars,)`` bool; None for all."""

    @property
    def names(self) -> pd.Index:
        """Names of the features."""
        names = self.adata.var_names
        return names if self.columns is None else names[self.columns]

    def own(self) -> AnnData:
        """Return the modality alone: `adata`, or a view of it."""
        return self.adata if self.columns is None else self.adata[:, self.columns]


def find_parts(data: AnnData | MuData, spec: ModelSpec) -> dict[str, Part]:
    """Return where `data` has each of the model's modalities.

    In a MuData, keys are those of the training data, usual names, or any name if the features are
    the model's. An AnnData of several modalities is split.

    Raises
    ------
    KeyError, ValueError
        If there is none.

    Warns
    -----
    UserWarning
        If an unused modality looks like one of the model's.
    """
    if isinstance(data, AnnData):
        return _split_anndata(data, spec)
    keys, name = keys_in(data, spec), display_name(data)
    for key, adata in data.mod.items():
        modality = looks_like(adata) if key not in keys.values() else None
        if modality is not None and modality in spec.features and modality not in keys:
            warn(
                f"{name}[{key!r}] is not used but looks like "
                f"{MODALITY_TYPES[modality].feature_name}: it shares no "
                "name with the model. "
                f"{advice(MODALITY_TYPES[modality].feature_name, f'{name}[{key!r}]')}"
            )
    if not keys:
        expected = [spec.modality_keys.get(m, m) for m in spec.modalities]
        msg = (
            f"Expected at least one of the modalities {expected} in {name}, found "
            f"{sorted(data.mod)}, which share no feature with the model. Pass data with features "
            "of the model, named as in `model.spec.features`."
        )
        raise KeyError(msg)
    return {m: Part(data[key], f"{name}[{key!r}]") for m, key in keys.items()}


def keys_in(mdata: MuData, spec: ModelSpec) -> dict[str, str]:
    """Return the MuData key of each of the model's modalities, in their order."""
    found: dict[str, str] = {}
    for m in spec.modalities:
        trained = spec.modality_keys.get(m, m)
        usual = [trained] if trained in mdata.mod else usual_keys(mdata, m)
        if usual:
            found[m] = max(usual, key=lambda key: _n_shared(mdata[key], spec.features[m]))
    for m in spec.modalities:
        unused = [key for key in mdata.mod if key not in found.values()]
        shared = {key: _n_shared(mdata[key], spec.features[m]) for key in unused}
        best = max(shared, key=lambda key: shared[key], default=None)
        if m not in found and best is not None and shared[best]:
            logger.info("mdata[%r] is read as %s: it shares names with the model.", best, m)
            found[m] = best
    return {m: found[m] for m in spec.modalities if m in found}


def _n_shared(adata: AnnData, features: pd.Index) -> int:
    return int(adata.var_names.isin(features).sum())


def _split_anndata(adata: AnnData, spec: ModelSpec) -> dict[str, Part]:
    """Return the model's modalities in an AnnData, which may hold several."""
    masks = _masks(adata, spec)
    if masks is None:
        return {guess_modality(adata, spec): Part(adata, display_name(adata))}
    used: dict[str, np.ndarray] = {m: masks[m] for m in spec.modalities if m in masks}
    if not used:
        raise ValueError(_no_such_modality(adata, spec, describe(masks)))
    if adata.n_vars > sum(int(mask.sum()) for mask in used.values()):
        rest = adata.n_vars - sum(int(mask.sum()) for mask in used.values())
        logger.info("adata: %s are read; %d other features are not used.", describe(used), rest)
    elif len(used) > 1:
        logger.info("adata holds several modalities: %s are read.", describe(used))
    return {m: Part(adata, display_name(adata), mask) for m, mask in used.items()}


def _masks(adata: AnnData, spec: ModelSpec) -> dict[str, np.ndarray] | None:
    """Return the features of each modality of an AnnData; None if it holds one only."""
    if declared_modalities(adata) is not None:
        parts = modality_masks(adata)
        one = len(parts) == 1 and next(iter(parts.values())).all()
        return None if one else parts
    member = {m: adata.var_names.isin(names) for m, names in spec.features.items()}
    # A gene and a protein may share a name: only unshared names count.
    n_owners = np.sum(list(member.values()), axis=0)
    n_own = {m: int((mask & (n_owners == 1)).sum()) for m, mask in member.items()}
    there = [m for m in member if n_own[m] >= max(1, _MIN_SHARE * len(spec.features[m]))]
    parts = modality_masks(adata)
    if len(parts) < 2 and len(there) < 2:
        return None
    if len(parts) < 2:
        taken = np.zeros(adata.n_vars, bool)
        parts = {}
        for m in there:  # RNA first: it keeps shared names
            parts[m] = member[m] & ~taken
            taken |= member[m]
    return parts


def guess_modality(adata: AnnData, spec: ModelSpec) -> str:
    """Return which of the model's modalities an AnnData holds, by its feature names.

    Raises
    ------
    ValueError
        If the names look like a modality that the model lacks.
    """
    guess = looks_like(adata)
    if declared_modalities(adata) is not None and guess in spec.features:
        return guess  # a gene and a protein may share a name
    overlap = {m: _n_shared(adata, names) for m, names in spec.features.items()}
    best = max(overlap, key=lambda m: overlap[m])
    if overlap[best]:
        return best
    if guess in spec.features:
        return guess  # aligning names will report mismatches
    raise ValueError(_no_such_modality(adata, spec, repr(guess)))


def _no_such_modality(adata: AnnData, spec: ModelSpec, what: str) -> str:
    return (
        f"Expected data of a modality that the model was trained on ({list(spec.modalities)}), "
        f"found an AnnData that looks like {what} ({adata.var_names[:3].tolist()}). Pass data of "
        "one of the model's modalities, or train a model with this one."
    )


def _on_all_cells(
    counts: sp.csr_matrix, names: pd.Index, all_names: pd.Index, where: str
) -> tuple[sp.csr_matrix, np.ndarray]:
    """Add empty rows for cells without the modality; also return which cells have it."""
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


def read_cells(
    data: AnnData | MuData,
    spec: ModelSpec,
    layers: Mapping[str, str] | None = None,
    *,
    profile: Profile | None = None,
    levels: np.ndarray | None = None,
    modality: str | None = None,
    check: bool = True,
) -> Cells:
    """Return all cells of `data` with counts in the model's feature order.

    Needs no set-up, labels or batch column: cells of an unknown or absent batch get code -1.

    Parameters
    ----------
    data
        Raw counts.
    spec
        The model's features, batches and layers.
    layers
        Layer with the counts of each modality. By default the layer of the training data if
        present, else ``X``.
    profile
        What the values of RNA are; None for what they were in the training data.
    levels
        Mean expression of each of the model's genes, ``(n_genes,)``, to which z-scores are
        relative; None: all the same.
    modality
        The modality of an AnnData; None infers it.
    check
        Raise if a cell has no modality, and warn of cells without counts.
    """
    check_container(data)
    counts, measured = {}, {}
    read: dict[str | None, sp.csr_matrix] = {}  # shared by the modalities of one AnnData
    alone = isinstance(data, AnnData)
    if alone and modality is not None:
        parts = {modality: Part(data, display_name(data))}
    else:
        parts = find_parts(data, spec)
    profile = _choose_profile(profile, parts, spec)
    has_depth = True
    chosen = {m: _choose_layer(part, m, spec, layers or {}) for m, part in parts.items()}
    options = {"layer" if alone else f"{m}_layer": layer for m, layer in chosen.items()}
    for modality, part in parts.items():
        layer, argument = chosen[modality], layer_argument(data, modality)
        if modality == RNA and (part.columns is None or profile != "counts"):
            place = spec.features[RNA].get_indexer(part.names)
            matrix, has_depth = get_expression(
                part.own(),
                layer,
                part.where,
                argument,
                profile,
                known=place >= 0,
                levels=None if levels is None else levels[place],
            )
        else:
            shared = None if profile != "counts" else read
            matrix = _read_part(part, layer, argument, shared, offer_profile=modality == RNA)
        empty = np.diff(matrix.indptr) == 0
        matrix = align_by_name(
            matrix,
            part.names,
            spec.features[modality],
            MODALITY_TYPES[modality].feature_name,
            part.where,
            profile if modality == RNA else "counts",
        )
        names = part.adata.obs_names
        counts[modality], has = _on_all_cells(matrix, names, data.obs_names, part.where)
        if part.columns is not None and empty.any() and not empty.all():
            has = has & ~empty  # one matrix cannot mark "not measured" otherwise
            logger.info(
                "%d of %d cells have no counts of %s and are read as not measured.",
                int(empty.sum()),
                len(empty),
                MODALITY_TYPES[modality].feature_name,
            )
        elif check:
            warn_empty(empty, modality, part.where, options)
        measured[modality] = has
    if check:
        name, given = display_name(data), {k: v for k, v in options.items() if v is not None}
        layer = "".join(f", {k}={v!r}" for k, v in given.items())
        drop = f"{name} = scmomer.pp.drop_unmeasured({name}{layer})" if alone else ""
        places = [part.where for part in parts.values()]
        check_some_modality(data, np.stack([*measured.values()]), [*measured], places, drop)
        _warn_of_other_names(parts)
    return Cells(
        counts,
        measured,
        batch=_optional_codes(data, spec.batch_key, spec.batches, spec),
        labels=_optional_codes(data, spec.labels_key, spec.labels, spec),
        has_depth=has_depth,
    )


def _read_part(
    part: Part,
    layer: str | None,
    argument: str | None,
    read: dict[str | None, sp.csr_matrix] | None,
    *,
    offer_profile: bool,
) -> sp.csr_matrix:
    """Return the counts of a modality; `read` keeps those of several modalities in one matrix."""
    if part.columns is None or read is None:
        return get_counts(part.own(), layer, part.where, argument)
    if layer not in read:
        read[layer] = get_counts(
            part.adata, layer, part.where, argument, offer_profile=offer_profile
        )
    return read[layer][:, np.flatnonzero(part.columns)]


def _choose_profile(profile: Profile | None, parts: Mapping[str, Part], spec: ModelSpec) -> Profile:
    """Return what the values of RNA are; raise if one is named and there is no RNA."""
    if profile is None:
        return spec.profile
    if profile != "counts" and RNA not in parts:
        msg = (
            f"Expected RNA with profile={profile!r}, found {[*parts]}. Leave out profile=: other "
            "modalities are always counts."
        )
        raise ValueError(msg)
    return profile


def _choose_layer(
    part: Part, modality: str, spec: ModelSpec, layers: Mapping[str, str]
) -> str | None:
    """Return the layer to read: the named one, or that of the training data if present."""
    if modality in layers:
        return layers[modality]
    layer = spec.layers.get(modality)
    if layer is not None and layer not in part.adata.layers:
        logger.info("%s has no layer %r: reading counts from X.", part.where, layer)
        return None
    return layer


def _warn_of_other_names(parts: Mapping[str, Part]) -> None:
    """Warn if modalities share no cell but seem to name the same cells differently."""
    for one, other in itertools.combinations(parts.values(), 2):
        a, b = one.adata.obs_names, other.adata.obs_names
        same = find_same_cell(a, b) if not a.isin(b).any() else None
        if same is not None:
            warn(
                f"{one.where} and {other.where} share no cell. {same[0]!r} and {same[1]!r} seem to "
                "be the same cell but are read as two. Use one name in both AnnData, and build the "
                "MuData again."
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
    return {} if isinstance(data, AnnData) else keys_in(data, spec)
