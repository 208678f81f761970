"""Arguments that say where the values of a container are, and what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from anndata import AnnData
from mudata import MuData

from scmomer.data._profile import Profile, check_profile
from scmomer.module import MODALITY_TYPES


class Layers(TypedDict, total=False):
    """Layers and kind of values, as in :func:`scmomer.pp.setup_mudata`."""

    layer: str | None
    """For an AnnData."""
    rna_layer: str | None
    """For a MuData, as the next two."""
    atac_layer: str | None
    protein_layer: str | None
    profile: Profile | None
    """What the values of RNA are; None: as those of the training data."""


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
    if unknown := [name for name in given if name not in {"layer", "profile", *known}]:
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


def given_profile(given: Mapping[str, Any]) -> Profile | None:
    """Return the profile among keyword arguments as in :class:`Layers`; None if there is none.

    Raises
    ------
    ValueError
        If there is no such profile.
    """
    profile: Profile | None = given.get("profile")
    if profile is not None:
        check_profile(profile)
    return profile


def reference_layers(
    reference: AnnData | MuData,
    given: str | Mapping[str, str] | None,
    profile: Profile | None = None,
) -> Layers:
    """Return ``reference_layer=`` and ``reference_profile=`` in the form of :class:`Layers`.

    Raises
    ------
    TypeError
        If the layer does not fit the container.
    """
    if profile is not None:
        return {**reference_layers(reference, given), "profile": profile}
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
