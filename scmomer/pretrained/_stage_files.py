"""Files of the published stages 1 (ATAC) and 2, which have an ATAC encoder and decoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scmomer._constants import ATAC, RNA
from scmomer.pretrained._build import Recipe
from scmomer.pretrained._checkpoint import LeftOut, Plan, Target
from scmomer.pretrained._performer import performer_sizes, vocabulary
from scmomer.pretrained._released import fusion_plan, rna_plan
from scmomer.pretrained._vit import peaks_of, vit_plan, vit_sizes

_S1 = "scMomer's s1_atac.pth"
_S2 = "scMomer's s2_multimodal.pth"
_RNA_PREFIX, _ATAC_PREFIX = "rna_model.model.", "atac_model."
_PATCHES = "embeddings.patch_embeddings.projection.weight"
_KINDS = ("weight", "bias")


def is_stage_one_atac(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether tensors are those of an ATAC encoder alone."""
    return any(name.startswith("embeddings.") for name in tensors)


def is_stage_two(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether tensors are those of both encoders."""
    return any(name.startswith(_ATAC_PREFIX) for name in tensors)


def stage_one_atac(tensors: Mapping[str, Tensor], peaks: Sequence[str] | None) -> Recipe:
    """Return the use of ``s1_atac.pth``: a model of ATAC whose embedding is the pooler's output."""
    sizes = vit_sizes(tensors, "", _S1)
    index = peaks_of(peaks, sizes, tensors.get(_PATCHES), None, _S1)
    plan = dict(vit_plan("", sizes["atac_n_layers"]))
    plan["embeddings.mask_token"] = Target(
        "modalities.atac.encoder.mask_token", lambda token: token.flatten()
    )
    dim = sizes["atac_dim"]
    return Recipe(
        _S1,
        plan,
        {ATAC: index},
        {**sizes, "n_latent": dim, "latent_norm": "none"},
        stages=("atac",),
        untrained=("modalities.atac.decoder.",),
        constants={"modalities.atac.encoder.projection.weight": torch.eye(dim)},
    )


def stage_two(
    tensors: Mapping[str, Tensor], genes: Sequence[str] | None, peaks: Sequence[str] | None
) -> Recipe:
    """Return the use of ``s2_multimodal.pth``: a model of RNA and ATAC without stage 3."""
    sizes: dict[str, Any] = performer_sizes(tensors, _RNA_PREFIX, _S2)
    sizes |= vit_sizes(tensors, _ATAC_PREFIX, _S2)
    names = vocabulary(genes, tensors, f"{_RNA_PREFIX}pos_emb.emb.weight", _S2)
    bias, projection = tensors.get("ATAC.output_mean.0.bias"), tensors.get("atac_projection.weight")
    n_peaks = None if bias is None else bias.numel()
    index = peaks_of(peaks, sizes, tensors.get(f"{_ATAC_PREFIX}{_PATCHES}"), n_peaks, _S2)
    if projection is not None:  # otherwise reported as missing later
        sizes["n_latent"] = len(projection)
    return Recipe(
        _S2,
        _stage_two_plan(sizes["rna_n_layers"], sizes["atac_n_layers"]),
        {RNA: names, ATAC: index},
        sizes,
        stages=("rna", "atac", "fusion"),
        untrained=(
            "modalities.rna.encoder.model.to_out.",  # of masked modeling; not in the file
            "modalities.atac.encoder.mask_token",
            "modalities.rna.decoder.batch_bias",
            "modalities.atac.decoder.batch_bias",
            "bridges.",
            "depth_heads.",
            "even_depth",
        ),
        # Published losses are means over features; here sums over features, relative to this.
        constants={
            "modalities.rna.baseline": torch.tensor(float(len(names))),
            "modalities.atac.baseline": torch.tensor(float(len(index))),
        },
    )


def _stage_two_plan(rna_depth: int, atac_depth: int) -> Plan:
    plan: dict[str, Target | LeftOut] = {
        **rna_plan(_RNA_PREFIX, rna_depth),
        **vit_plan(_ATAC_PREFIX, atac_depth),
        **fusion_plan(),
        "atac_projection.weight": Target("modalities.atac.encoder.projection.weight"),
    }
    for kind in _KINDS:
        plan |= {
            f"atac_ln.{kind}": Target(f"modalities.atac.encoder.norm.ln.{kind}"),
            f"RNA.output_mean.0.{kind}": Target(f"modalities.rna.decoder.linear.{kind}"),
            f"ATAC.output_mean.0.{kind}": Target(f"modalities.atac.decoder.linear.{kind}"),
            f"sub_task.linear1.{kind}": Target(f"discriminator.layers.0.{kind}"),
            f"sub_task.linear2.{kind}": Target(f"discriminator.layers.3.{kind}"),
        }
    return plan
