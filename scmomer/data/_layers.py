"""Arguments that name the layers with counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from anndata import AnnData
from mudata import MuData

from scmomer.module import MODALITY_TYPES


class Layers(TypedDict, total=False):
    """Layers with raw counts, as in :func:`scmomer.pp.setup_mudata`."""

    layer: str | None
    """For an AnnData."""
    rna_layer: str | None
    """For a MuData, as the next two."""
    atac_layer: str | None
    protein_layer: str | None


def layers_by_modality(data: AnnData | MuData, given: Mapping[str, Any]) -> dict[str, str]:
    """Return the layer of each modality, as far as named.

    Parameters
    ----------
    data
        The data to read.
    given
        Keyword arguments as in :class:`Layers`.

    Raises
    ------
    TypeError
        If an argument is unknown, or ``layer=`` comes with a MuData.
    """
    known = {f"{m}_layer": m for m in MODALITY_TYPES}
    if unknown := [name for name in given if name not in {"layer", *known}]:
        msg = f"There are no keyword arguments {unknown}. Check their spelling."
        raise TypeError(msg)
    chosen: dict[str, str] = {known[k]: v for k, v in given.items() if k in known and v is not None}
    layer = given.get("layer")
    if layer is None:
        return chosen
    if isinstance(data, MuData):
        msg = (
            "Expected rna_layer=, atac_layer= or protein_layer= with a MuData, found "
            f"layer={layer!r}. Name the modality, as in rna_layer={layer!r}."
        )
        raise TypeError(msg)
    return {**dict.fromkeys(MODALITY_TYPES, layer), **chosen}


def reference_layers(reference: AnnData | MuData, given: str | Mapping[str, str] | None) -> Layers:
    """Return the argument ``reference_layer=`` in the form of :class:`Layers`.

    Raises
    ------
    TypeError
        If it does not fit the container.
    """
    if given is None:
        return {}
    if isinstance(given, str):
        if isinstance(reference, MuData):
            msg = (
                "Expected reference_layer= as a dictionary for a MuData, found "
                f"{given!r}. Name the modality: reference_layer={{'rna': {given!r}}}."
            )
            raise TypeError(msg)
        return {"layer": given}
    unknown = sorted(set(given) - set(MODALITY_TYPES))
    if unknown:
        known = list(MODALITY_TYPES)
        msg = f"Expected modalities among {known} in reference_layer=, found {unknown}."
        raise TypeError(msg)
    return {f"{modality}_layer": name for modality, name in given.items()}  # type: ignore[return-value]
