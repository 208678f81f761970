"""scBERT's pretrained Performer as a model of RNA."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scmomer._constants import RNA
from scmomer.model import SCMOMER
from scmomer.pretrained._build import Recipe, build
from scmomer.pretrained._checkpoint import Target, read_tensors
from scmomer.pretrained._performer import performer_plan, performer_sizes, vocabulary

_SOURCE = "scBERT's panglao_pretrain.pth"


def load_scbert(
    path: str | Path,
    *,
    genes: Sequence[str] | None = None,
    accelerator: str = "auto",
    device: int | str = "auto",
    **options: Any,
) -> SCMOMER:
    """Build a model from scBERT's pretrained weights (Yang et al., Nat Mach Intell 2022).

    The file is ``panglao_pretrain.pth`` of scBERT or a checkpoint of the same layout (scMomer's
    ``s1_rna.pth``). It includes the gene table, so no other file is needed. It is read with
    ``weights_only=True``.

    Each gene of the vocabulary is a token; expression bins are log2 counts per 10,000, floored as
    in scBERT. scBERT has no cell embedding; here it is the mean and the maximum over genes of the
    Performer's output, concatenated. Unlike in scBERT's scripts, no empty token is appended to the
    genes, and random features are never redrawn.

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
        A model of RNA, ready for :meth:`~scmomer.SCMOMER.get_latent_representation` and for saving.
        The published encoder is large, 308 GFLOP per cell: seconds on a laptop.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not such a checkpoint; the message lists the tensors that do not match.
    """
    tensors = read_tensors(path)
    sizes = performer_sizes(tensors, "", _SOURCE)
    index = vocabulary(genes, tensors, "pos_emb.emb.weight", _SOURCE)
    plan = performer_plan("", sizes["rna_n_layers"])
    plan |= {
        f"to_out.{kind}": Target(f"modalities.rna.encoder.model.to_out.{kind}")
        for kind in ("weight", "bias")
    }
    defaults = {
        "rna_binning": "log2_floor",
        "rna_pooling": "mean_max",
        "latent_norm": "none",
        "n_latent": 2 * sizes["rna_dim"],
    }
    recipe = Recipe(
        _SOURCE,
        plan,
        {RNA: index},
        {**sizes, **defaults},
        stages=("rna",),
        # Not in scBERT: it has no cell embedding.
        untrained=(
            "modalities.rna.decoder.",
            "modalities.rna.encoder.pool.",
            "modalities.rna.encoder.norm.",
        ),
    )
    return build(tensors, recipe, options, path=path, accelerator=accelerator, device=device)
