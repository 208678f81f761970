"""The released weights of scMomer, and the parts that its files share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from scmomer._constants import RNA
from scmomer.pretrained._build import Recipe
from scmomer.pretrained._checkpoint import LeftOut, Plan, Target
from scmomer.pretrained._performer import performer_plan, performer_sizes, vocabulary

_SOURCE = "scMomer's pretrained_scmomer.pth"
_PREFIX = "rna_model.model."
_KINDS = ("weight", "bias")


def released(tensors: Mapping[str, Tensor], genes: Sequence[str] | None) -> Recipe:
    """Return the use of ``pretrained_scmomer.pth``: a model of RNA with a bridge to ATAC."""
    sizes = performer_sizes(tensors, _PREFIX, _SOURCE)
    index = vocabulary(genes, tensors, f"{_PREFIX}pos_emb.emb.weight", _SOURCE)
    projection, hidden = tensors.get("rna_projection.weight"), tensors.get("encoder.encoder.0.bias")
    if projection is not None and hidden is not None:  # otherwise reported as missing later
        sizes |= {"n_latent": len(projection), "bridge_hidden": len(hidden)}
    return Recipe(
        _SOURCE,
        _plan(sizes["rna_n_layers"]),
        {RNA: index},
        sizes,
        stages=("rna", "bridge"),
        untrained=(
            "modalities.rna.encoder.model.to_out.",  # of masked modeling; not released
            "modalities.rna.decoder.",
            "bridges.rna.0.scale",
            "bridges.rna.0.shift",
        ),
    )


def _plan(depth: int) -> Plan:
    """Return the use of each published tensor."""
    plan: dict[str, Target | LeftOut] = {
        **rna_plan(_PREFIX, depth),
        **fusion_plan(),
        "encoder.encoder.0.weight": Target("bridges.rna.0.features", lambda w: w.T),
        "encoder.encoder.0.bias": Target("bridges.rna.0.bias"),
    }
    for kind in _KINDS:
        plan |= {
            f"encoder.encoder.1.{kind}": Target(f"bridges.rna.0.rest.0.{kind}"),
            f"encoder.encoder.4.{kind}": Target(f"bridges.rna.0.rest.3.{kind}"),
            f"atac_ln.{kind}": LeftOut("normalizes the embedding of an ATAC encoder not released"),
        }
    return plan


def rna_plan(prefix: str, depth: int) -> Plan:
    """Return the use of the RNA encoder's tensors, from tokens to the cell embedding."""
    pool = "modalities.rna.encoder.pool"
    return {
        **performer_plan(prefix, depth),
        # A 2D convolution with one filter as wide as a token is a linear map.
        f"{prefix}to_out.conv1.weight": Target(f"{pool}.conv1.weight", lambda w: w[:, 0, 0]),
        f"{prefix}to_out.conv1.bias": Target(f"{pool}.conv1.bias"),
        "rna_projection.weight": Target(f"{pool}.projection", lambda w: w.T),
        **{f"rna_ln.{kind}": Target(f"modalities.rna.encoder.norm.ln.{kind}") for kind in _KINDS},
    }


def fusion_plan() -> Plan:
    """Return the use of the tensors of fusion, which reads ATAC before RNA."""
    return {f"to_out.{kind}": Target(f"fusion.to_out.{kind}") for kind in _KINDS}
