"""scMomer's released weights as a model of RNA with a bridge to ATAC embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scmomer.model import SCMOMER
from scmomer.pretrained._build import UNTRAINED, build
from scmomer.pretrained._checkpoint import LeftOut, Target, read_tensors
from scmomer.pretrained._performer import performer_plan, performer_sizes, vocabulary

_SOURCE = "scMomer's pretrained_scmomer.pth"
_PREFIX = "rna_model.model."
_KINDS = ("weight", "bias")


def load_scmomer(
    path: str | Path,
    *,
    genes: Sequence[str] | None = None,
    accelerator: str = "auto",
    device: int | str = "auto",
    **options: Any,
) -> SCMOMER:
    """Build a model from scMomer's released weights (bioRxiv 2025.08.04.668374).

    The release (``pretrained_scmomer.pth``) has the RNA encoder, the bridge that predicts the ATAC
    embedding, and the fusion: it gives multi-omic embeddings from RNA alone. It has **neither the
    ATAC encoder nor decoders**, so this model can neither embed ATAC nor translate. It is read with
    ``weights_only=True``.

    Expression is log2 counts per 10,000; bins are rounded. (In pretraining, the published scripts
    take the logarithm a second time if the input comes from their own preprocessing.)

    Parameters
    ----------
    path
        The checkpoint.
    genes
        Genes of the checkpoint in order; None for the published vocabulary (:func:`panglao_genes`).
    accelerator, device
        Device of the model, as in :func:`scmomer.load`.
    options
        Fields of :class:`scmomer.module.ModuleConfig` to replace, such as
        ``rna_stabilizer="cell"``: numerics of the published scripts at batch size 1 instead of
        those of performer-pytorch 1.1.4.

    Returns
    -------
    SCMOMER
        A model of RNA whose :meth:`~scmomer.SCMOMER.get_latent_representation` gives the fused
        embedding (``modality="joint"``), the encoder's (``"rna"``) and the bridge's (``"atac"``).

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not such a checkpoint; the message lists the tensors that do not match.
    """
    tensors = read_tensors(path)
    sizes = performer_sizes(tensors, _PREFIX, _SOURCE)
    index = vocabulary(genes, tensors, f"{_PREFIX}pos_emb.emb.weight", _SOURCE)
    projection, hidden = tensors.get("rna_projection.weight"), tensors.get("encoder.encoder.0.bias")
    if projection is not None and hidden is not None:  # otherwise reported as missing later
        sizes |= {"n_latent": len(projection), "bridge_hidden": len(hidden)}
    return build(
        tensors,
        _plan(sizes["rna_n_layers"]),
        index,
        options={**sizes, **options},
        bridged=True,
        untrained=(
            "modalities.rna.encoder.model.to_out.",  # of masked modeling; not released
            "bridges.rna.0.scale",
            "bridges.rna.0.shift",
            *UNTRAINED,
        ),
        source=_SOURCE,
        path=path,
        accelerator=accelerator,
        device=device,
    )


def _plan(depth: int) -> dict[str, Target | LeftOut]:
    """Return the use of each published tensor."""
    plan = performer_plan(_PREFIX, depth)
    plan |= {
        # A 2D convolution with one filter as wide as a token is a linear map.
        f"{_PREFIX}to_out.conv1.weight": Target(
            "modalities.rna.encoder.pool.conv1.weight", lambda w: w[:, 0, 0]
        ),
        f"{_PREFIX}to_out.conv1.bias": Target("modalities.rna.encoder.pool.conv1.bias"),
        "rna_projection.weight": Target("modalities.rna.encoder.pool.projection", lambda w: w.T),
        "encoder.encoder.0.weight": Target("bridges.rna.0.features", lambda w: w.T),
        "encoder.encoder.0.bias": Target("bridges.rna.0.bias"),
    }
    for kind in _KINDS:
        plan |= {
            f"rna_ln.{kind}": Target(f"modalities.rna.encoder.norm.ln.{kind}"),
            f"encoder.encoder.1.{kind}": Target(f"bridges.rna.0.rest.0.{kind}"),
            f"encoder.encoder.4.{kind}": Target(f"bridges.rna.0.rest.3.{kind}"),
            f"to_out.{kind}": Target(f"fusion.to_out.{kind}"),
            f"atac_ln.{kind}": LeftOut("normalizes the embedding of an ATAC encoder not released"),
        }
    return plan
