"""The ATAC encoder of published checkpoints: sizes and names of its tensors, and its peaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from torch import Tensor

from scmomer.module import parse_peaks
from scmomer.pretrained._checkpoint import LeftOut, Plan, Target, lacks

_KINDS = ("weight", "bias")
_ENCODER = "modalities.atac.encoder."
# Published name of each part of a block, and ours.
_BLOCK = {
    "layernorm_before": "layernorm_before",
    **{f"attention.attention.{name}": name for name in ("query", "key", "value")},
    "attention.output.dense": "output",
    "layernorm_after": "layernorm_after",
    "intermediate.dense": "intermediate",
    "output.dense": "dense",
}


def vit_sizes(tensors: Mapping[str, Tensor], prefix: str, source: str) -> dict[str, Any]:
    """Return the options of :class:`scmomer.module.ATACConfig` from the tensors of a checkpoint.

    The number of heads is not in a file; it is that of ``size="paper"``, 8.

    Raises
    ------
    ValueError
        If the tensors that define the sizes are missing.
    """
    names = {
        "positions": (f"{prefix}embeddings.position_embeddings", 3),
        "hidden": (f"{prefix}encoder.layer.0.intermediate.dense.weight", 2),
    }
    missing = [n for n, dims in names.values() if n not in tensors or tensors[n].dim() != dims]
    if missing:
        raise lacks(tensors, missing, source)
    shapes = {key: tensors[name].shape for key, (name, _) in names.items()}
    depth = 0
    while f"{prefix}encoder.layer.{depth}.layernorm_before.weight" in tensors:
        depth += 1
    return {
        "atac_patch_order": "file",
        "atac_n_patches": shapes["positions"][1] - 1,
        "atac_dim": shapes["positions"][2],
        "atac_n_layers": depth,
        "atac_mlp_dim": shapes["hidden"][0],
    }


def vit_plan(prefix: str, depth: int) -> Plan:
    """Return the use of the tensors of the vision transformer, by published name."""
    vit = f"{_ENCODER}vit."
    pairs = {"layernorm": f"{vit}layernorm", "pooler.dense": f"{_ENCODER}pooler"}
    pairs["decoder_pred"] = f"{_ENCODER}decoder_pred"
    for i in range(depth):
        pairs |= {f"encoder.layer.{i}.{a}": f"{vit}layer.{i}.{b}" for a, b in _BLOCK.items()}
    plan: dict[str, Target | LeftOut] = {
        f"{prefix}{a}.{kind}": Target(f"{b}.{kind}") for a, b in pairs.items() for kind in _KINDS
    }
    embeddings, patches = f"{prefix}embeddings.", f"{prefix}embeddings.patch_embeddings.projection."
    plan |= {
        f"{embeddings}{name}": Target(f"{vit}{name}")
        for name in ("cls_token", "position_embeddings")
    }
    plan |= {
        f"{patches}weight": Target(f"{_ENCODER}patch_embedding.weight", lambda w: w.T),
        f"{patches}bias": Target(f"{_ENCODER}patch_embedding.bias"),
        f"{prefix}loss_fn.pos_weight": LeftOut("weight of open peaks in the masked loss, here 1"),
    }
    return plan


def peaks_of(
    peaks: Sequence[str] | None,
    sizes: Mapping[str, Any],
    patch_weight: Tensor | None,
    n_peaks: int | None,
    source: str,
) -> pd.Index:
    """Return the peaks of a checkpoint, as many as its tensors have.

    Parameters
    ----------
    peaks
        Names in the order of the data that the checkpoint was trained on.
    sizes
        See :func:`vit_sizes`.
    patch_weight
        Of the linear map of patches, ``(dim, patch_size)``.
    n_peaks
        Peaks of the decoder; None without one.
    source
        Name of the checkpoint, for messages.

    Raises
    ------
    ValueError
        If peaks are missing, not unique, not intervals, or of another number.
    """
    n_patches = sizes["atac_n_patches"]
    size = patch_weight.shape[-1] if patch_weight is not None and patch_weight.dim() else None
    if n_peaks is not None:
        number = f"{n_peaks}"
    elif size is None:
        number = "the"
    else:
        number = f"{n_patches * (size - 1) + 1} to {n_patches * size}"
    if peaks is None:
        msg = (
            f"Expected peaks=, the {number} peaks of {source} in order, found none. Pass the names "
            "of the peaks that it was trained on, `peaks=mdata['atac'].var_names`: the file has "
            "no names."
        )
        raise ValueError(msg)
    index = pd.Index(list(peaks)).astype(str)
    fits = size is None or -(-len(index) // n_patches) == size
    if not fits or n_peaks not in (None, len(index)):
        msg = (
            f"Expected {number} peaks for {source}, found {len(index)}. Pass the peaks that it was "
            "trained on, in the order of its data."
        )
        raise ValueError(msg)
    if not index.is_unique:
        duplicates = index[index.duplicated()][:3].tolist()
        msg = f"Expected peaks to be unique, found duplicates of {duplicates}. Rename them."
        raise ValueError(msg)
    parse_peaks(index, "peaks=")
    return index
