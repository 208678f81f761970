"""The RNA encoder of published checkpoints: sizes and names of its tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from torch import Tensor

from scmomer.pretrained._checkpoint import LeftOut, Target, lacks
from scmomer.pretrained._vocabulary import panglao_genes

_LAYER = (
    *(f"{part}.norm.{kind}" for part in "01" for kind in ("weight", "bias")),
    *(f"0.fn.to_{name}.weight" for name in ("q", "k", "v", "out")),
    "0.fn.to_out.bias",
    "0.fn.fast_attention.projection_matrix",
    *(f"1.fn.fn.{name}.{kind}" for name in ("w1", "w2") for kind in ("weight", "bias")),
)


def performer_sizes(tensors: Mapping[str, Tensor], prefix: str, source: str) -> dict[str, Any]:
    """Return the options of :class:`scmomer.module.RNAConfig` from the tensors of a checkpoint.

    Raises
    ------
    ValueError
        If the tensors that define the sizes are missing.
    """
    layer = f"{prefix}performer.net.layers.0."
    names = {
        "tokens": f"{prefix}token_emb.weight",
        "features": f"{layer}0.fn.fast_attention.projection_matrix",
        "queries": f"{layer}0.fn.to_q.weight",
        "hidden": f"{layer}1.fn.fn.w1.weight",
    }
    missing = [name for name in names.values() if name not in tensors or tensors[name].dim() != 2]
    if missing:
        raise lacks(tensors, missing, source)
    shapes = {key: tensors[name].shape for key, name in names.items()}
    n_tokens, dim = shapes["tokens"]
    n_features, dim_head = shapes["features"]
    depth = 0
    while f"{prefix}performer.net.layers.{depth}.0.norm.weight" in tensors:
        depth += 1
    return {
        "rna_n_bins": n_tokens - 2,
        "rna_dim": dim,
        "rna_n_layers": depth,
        "rna_n_heads": shapes["queries"][0] // dim_head,
        "rna_dim_head": dim_head,
        "rna_n_features": n_features,
        "rna_ff_mult": shapes["hidden"][0] // dim,
    }


def performer_plan(prefix: str, depth: int) -> dict[str, Target | LeftOut]:
    """Return the use of the tensors of the Performer, by published name."""
    names = ["token_emb.weight", "pos_emb.emb.weight", "norm.weight", "norm.bias"]
    names += [f"performer.net.layers.{i}.{name}" for i in range(depth) for name in _LAYER]
    plan: dict[str, Target | LeftOut] = {
        f"{prefix}{name}": Target(f"modalities.rna.encoder.model.{name}") for name in names
    }
    plan[f"{prefix}performer.calls_since_last_redraw"] = LeftOut(
        "random features are drawn only once"
    )
    return plan


def vocabulary(
    genes: Sequence[str] | None, tensors: Mapping[str, Tensor], name: str, source: str
) -> pd.Index:
    """Return the genes of a checkpoint, whose position table has one more row.

    Raises
    ------
    ValueError
        If the number of genes does not match, or genes are not unique.
    """
    index = panglao_genes() if genes is None else pd.Index(list(genes)).astype(str)
    if not index.is_unique:
        duplicates = index[index.duplicated()][:3].tolist()
        msg = f"Expected genes to be unique, found duplicates of {duplicates}."
        raise ValueError(msg)
    if name in tensors and len(tensors[name]) != len(index) + 1:
        msg = (
            f"Expected {len(index) + 1} rows in {name} of {source} (one per gene and one "
            f"unused), found {len(tensors[name])}. Pass genes=, the checkpoint's genes in order."
        )
        raise ValueError(msg)
    return index
