"""What training leaves as it is, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import nn

from scmomer.module._module import SCMOMERModule
from scmomer.module.modalities import MODALITY_TYPES

_GROUPS = ("none", "encoders", "all_but_last")
"""Names that stand for several parts."""
_PARTS: dict[str, Callable[[SCMOMERModule], Iterable[nn.Module]]] = {
    "fusion": lambda module: [module.fusion] if module.fused else [],
    "bridges": lambda module: [module.bridges] if module.fused else [],
    "decoders": lambda module: [d for m in module.modalities for d in module.all_decoders(m)],
}


def part_names(module: SCMOMERModule) -> list[str]:
    """Return the parts that can be frozen by name."""
    shared = [name for name, find in _PARTS.items() if find(module)]
    return [*(f"{m}_encoder" for m in module.modalities), *shared]


def frozen_parameters(module: SCMOMERModule, freeze: str | Sequence[str]) -> list[nn.Parameter]:
    """Return the parameters that training must not change.

    Parameters
    ----------
    freeze
        ``"none"``; ``"encoders"``; ``"all_but_last"``: of the encoders all but the last third of
        the blocks and what follows them, as published; or names of parts, see :func:`part_names`.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    names = [freeze] if isinstance(freeze, str) else list(freeze)
    known = [*_GROUPS, *part_names(module)]
    if unknown := [name for name in names if name not in known]:
        msg = f"Expected freeze to be among {known}, found {unknown}."
        raise ValueError(msg)
    found: dict[int, nn.Parameter] = {}
    for name in names:
        found |= {id(p): p for p in _parameters(module, name)}
    return list(found.values())


def _parameters(module: SCMOMERModule, name: str) -> list[nn.Parameter]:
    encoders = {m: kind.encoder for m, kind in module.kinds().items()}
    if name == "none":
        return []
    if name == "encoders":
        return [p for encoder in encoders.values() for p in encoder.parameters()]
    if name == "all_but_last":
        return [p for encoder in encoders.values() for p in _but_last(encoder)]
    parts = _PARTS[name](module) if name in _PARTS else [encoders[name.removesuffix("_encoder")]]
    return [p for part in parts for p in part.parameters()]


def _but_last(encoder: nn.Module) -> list[nn.Parameter]:
    last = {id(p) for part in encoder.last_layers() for p in part.parameters()}  # type: ignore[operator, union-attr]
    return [p for p in encoder.parameters() if id(p) not in last]


def has_point(module: SCMOMERModule, stage: str, frozen: Iterable[nn.Parameter]) -> bool:
    """Return whether a stage still trains what it is for.

    Stage 1 is for an encoder, stage 2 for encoders and fusion, stage 3 for everything else.
    """
    if stage in MODALITY_TYPES:
        parts: list[nn.Module] = [module.modality(stage).encoder]
    elif stage == "fusion":
        parts = [*(kind.encoder for kind in module.kinds().values()), module.fusion]
    else:
        parts = [module.bridges, module.fusion, *_PARTS["decoders"](module)]
    out = {id(p) for p in frozen}
    return any(p.requires_grad and id(p) not in out for part in parts for p in part.parameters())
