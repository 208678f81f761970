"""Build a model that is ready for inference from the tensors of a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from scmomer._constants import RNA
from scmomer.data import ModelSpec
from scmomer.model import SCMOMER, make_ready
from scmomer.module import get_config
from scmomer.pretrained._checkpoint import Plan, translate
from scmomer.pretrained._performer import left_out

_STATISTICS = (
    "target_sum",
    "gene_weight",
    "baseline",
    "count_baseline",
    "library_mean",
    "library_std",
    "depth_mean",
    "depth_std",
)
UNTRAINED = ("basis", "modalities.rna.decoder.", *(f"modalities.rna.{s}" for s in _STATISTICS))
"""The decoder, and buffers that training sets from its cells; no checkpoint has them."""
logger = logging.getLogger(__name__)


def build(
    tensors: Mapping[str, Tensor],
    plan: Plan,
    genes: pd.Index,
    *,
    options: dict[str, Any],
    bridged: bool,
    untrained: Sequence[str],
    source: str,
    path: str | Path,
    accelerator: str,
    device: int | str,
) -> SCMOMER:
    """Return a model of RNA with the tensors of a checkpoint.

    `untrained` are prefixes of network parts that the checkpoint does not have.
    """
    features = {RNA: genes}
    spec = ModelSpec(features, modality_keys={}, layers={RNA: None}, bridged=bridged)
    model = SCMOMER._from_spec(spec, get_config("paper", **options))
    state = model.module.state_dict()
    found = translate(tensors, plan, state, source)
    rest = [k for k in state if k not in found and not k.startswith(tuple(untrained))]
    if rest:
        msg = f"{source} lacks tensors of the network: {rest[:8]}."
        raise ValueError(msg)
    model.module.load_state_dict({**state, **found})
    model.origin_ = {"publication": source, "file": Path(path).name, "untrained": list(untrained)}
    model.stages_ = ("rna", "bridge") if bridged else ("rna",)
    logger.info(
        "%s: %d tensors of %s loaded; left out: %s.",
        source,
        len(found),
        Path(path).name,
        "; ".join(left_out(tensors, plan)) or "none",
    )
    make_ready(model, accelerator, device)
    return model
