"""Weights that were written before modalities held their own state."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from scmomer.module._config import ModuleConfig

_MODALITIES = ("rna", "atac", "protein")  # in the order of the former ``baseline``
_DEPTH_ROWS = {"atac": 0, "protein": 3}  # of the former ``size_stats``
_RENAMED = (
    (r"^(encoder|decoder)s\.(rna|atac|protein)\.", r"modalities.\2.\1."),
    (r"^(target_sum|gene_weight|count_baseline)$", r"modalities.rna.\1"),
    (r"^bridges\.(rna|atac|protein)\.", r"bridges.\1.0."),
    (r"^rate_decoder\.", "bridges.rna.0.count_decoder."),
    (r"^measured_together$", "co_measured"),
    (r"\.encoder\.typical_depth$", ".encoder.median_n_open"),
)


def former_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under today's names, whichever names they have.

    A former embedding was in its final units inside the network: its basis is the identity.
    """
    if "size_stats" not in state:
        return dict(state)
    state = dict(state)
    baseline, sizes = state.pop("baseline"), state.pop("size_stats")
    found = {present_name(name): value for name, value in state.items()}
    there = {name.split(".")[1] for name in state if name.startswith("decoders.")}
    for m in there:
        place = f"modalities.{m}"
        mean, std = sizes[_DEPTH_ROWS[m]] if m in _DEPTH_ROWS else torch.tensor([0.0, 1.0])
        found |= {f"{place}.depth_mean": mean.clone(), f"{place}.depth_std": std.clone()}
        found[f"{place}.baseline"] = baseline[_MODALITIES.index(m)].clone()
    if "rna" in there:
        found["modalities.rna.library_mean"] = sizes[1:3, 0].clone()
        found["modalities.rna.library_std"] = sizes[1:3, 1].clone()
    else:  # of no use without RNA
        for name in ("target_sum", "gene_weight", "count_baseline"):
            found.pop(f"modalities.rna.{name}", None)
    width = next(
        v.shape[0] if name.endswith("fusion.to_out.bias") else v.shape[1]
        for name, v in found.items()
        if name.endswith(("fusion.to_out.bias", ".decoder.linear.weight"))
    )
    return {**found, "basis": torch.eye(width)}


def with_later_tensors(state: Mapping[str, Tensor], config: ModuleConfig) -> dict[str, Tensor]:
    """Return weights with tensors that were added later, as if they were not there: zeros.

    The linear map of perceptrons of RNA, and the shift of proteins to typical counts.
    """
    added = {}
    place = "modalities.rna.encoder"
    first = state.get(f"{place}.first")
    if first is not None and config.modalities["rna"].value_skip:
        added[f"{place}.linear"] = torch.zeros(len(first), config.n_latent)
        added[f"{place}.bias"] = torch.zeros(config.n_latent)
    mean = state.get("modalities.protein.decoder.linear.bias")
    if mean is not None:
        added["modalities.protein.log_shift"] = torch.zeros_like(mean)
    return {**added, **state}


def present_name(name: str) -> str:
    """Return today's name of a tensor under its former one."""
    head = re.match(r"^heads\.(\w+)\.(\d+)\.(.*)$", name)
    if head is not None:  # heads follow the bridge that fusion reads
        source, number, rest = head.group(1), int(head.group(2)) + 1, head.group(3)
        rest = re.sub("^rates", "count_decoder", rest.removeprefix("bridge."))
        return f"bridges.{source}.{number}.{rest}"
    for pattern, present in _RENAMED:
        name = re.sub(pattern, present, name)
    return name
