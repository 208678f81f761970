"""Build a model that is ready for inference from the tensors of a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from scmomer.data import ModelSpec
from scmomer.model import SCMOMER, make_ready
from scmomer.module import get_config
from scmomer.pretrained._checkpoint import LeftOut, Plan, translate

# Buffers that training sets from its cells; no checkpoint has them.
_STATISTICS = (
    "target_sum",
    "gene_weight",
    "baseline",
    "count_baseline",
    "library_mean",
    "library_std",
    "depth_mean",
    "depth_std",
    "encoder.median_n_open",
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What a kind of checkpoint becomes."""

    source: str
    """Name of the checkpoint, for messages."""
    plan: Plan
    """Use of each tensor."""
    features: dict[str, pd.Index]
    """Features of each modality, in the order of the tensors."""
    options: dict[str, Any]
    """Options of the configuration."""
    stages: tuple[str, ...]
    """Stages that count as trained."""
    untrained: tuple[str, ...] = ()
    """Prefixes of network parts that the checkpoint does not have."""
    constants: dict[str, Tensor] = field(default_factory=dict)
    """Tensors of the network that follow from the checkpoint's kind."""


def build(
    tensors: Mapping[str, Tensor],
    recipe: Recipe,
    options: Mapping[str, Any],
    *,
    path: str | Path,
    accelerator: str,
    device: int | str,
) -> SCMOMER:
    """Return a model with the tensors of a checkpoint; `options` replace those of the recipe."""
    spec = ModelSpec(
        recipe.features,
        modality_keys={},
        layers=dict.fromkeys(recipe.features),
        bridged=len(recipe.features) == 1 and "bridge" in recipe.stages,
    )
    model = SCMOMER._from_spec(spec, get_config("paper", **{**recipe.options, **options}))
    state = model.module.state_dict()
    found = translate(tensors, recipe.plan, state, recipe.source)
    statistics = [f"modalities.{m}.{name}" for m in recipe.features for name in _STATISTICS]
    untrained = ("basis", *statistics, *recipe.untrained)
    known = {**found, **recipe.constants}
    rest = [k for k in state if k not in known and not k.startswith(untrained)]
    if rest:
        msg = (
            f"Expected all tensors of the network in {recipe.source}, found none for {rest[:8]}. "
            "Leave out options that add parts to the network."
        )
        raise ValueError(msg)
    model.module.load_state_dict({**state, **known})
    model.stages_ = recipe.stages
    model.origin_ = {
        "publication": recipe.source,
        "file": Path(path).name,
        "untrained": list(untrained),
    }
    logger.info(
        "%s: %d tensors of %s loaded; left out: %s.",
        recipe.source,
        len(found),
        Path(path).name,
        "; ".join(_left_out(tensors, recipe.plan)) or "none",
    )
    make_ready(model, accelerator, device)
    return model


def _left_out(tensors: Mapping[str, Tensor], plan: Plan) -> list[str]:
    """Return the tensors of a checkpoint that are left out, with reasons, for the log."""
    return [f"{k} ({p.reason})" for k, p in plan.items() if isinstance(p, LeftOut) and k in tensors]
