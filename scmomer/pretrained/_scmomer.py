"""Published files of scMomer as models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scmomer.model import SCMOMER
from scmomer.pretrained._build import build
from scmomer.pretrained._checkpoint import read_tensors
from scmomer.pretrained._released import released
from scmomer.pretrained._stage_files import (
    is_stage_one_atac,
    is_stage_two,
    stage_one_atac,
    stage_two,
)


def load_scmomer(
    path: str | Path,
    *,
    genes: Sequence[str] | None = None,
    peaks: Sequence[str] | None = None,
    accelerator: str = "auto",
    device: int | str = "auto",
    **options: Any,
) -> SCMOMER:
    """Build a model from a file of scMomer (bioRxiv 2025.08.04.668374).

    The kind of file is recognized by its tensors. All are read with ``weights_only=True``.

    - The released weights (``pretrained_scmomer.pth``): RNA encoder, the bridge that predicts the
      ATAC embedding, and fusion. The model gives multi-omic embeddings from RNA alone. The file has
      **neither the ATAC encoder nor decoders**, so the model can neither embed ATAC nor translate.
    - What the published script of stage 2 writes (``s2_multimodal.pth``), with `peaks`: both
      encoders, fusion, discriminator and decoders. The model embeds paired cells; cells with one
      modality, and translation, need stage 3, which is not in the file.
    - What that of stage 1 writes for ATAC (``s1_atac.pth``), with `peaks`: the ATAC encoder. The
      embedding is the output of its pooler, which stage 1 leaves at its random start values.

    That of stage 1 for RNA (``s1_rna.pth``) is read by :func:`load_scbert`.

    Expression is log2 counts per 10,000; bins are rounded. (In pretraining, the published scripts
    take the logarithm a second time if the input comes from their own preprocessing.) Patches of
    peaks are consecutive in `peaks`, as published.

    Parameters
    ----------
    path
        The checkpoint.
    genes
        Genes of the checkpoint in order; None for the published vocabulary (:func:`panglao_genes`).
    peaks
        Peaks of the data that the checkpoint was trained on, in order; only for files with an ATAC
        encoder. No file has their names.
    accelerator, device
        Device of the model, as in :func:`scmomer.load`.
    options
        Fields of :class:`scmomer.module.ModuleConfig` to replace, such as
        ``rna_stabilizer="cell"``: numerics of the published scripts at batch size 1 instead of
        those of performer-pytorch 1.1.4.

    Returns
    -------
    SCMOMER
        Of the released weights, a model of RNA whose
        :meth:`~scmomer.SCMOMER.get_latent_representation` gives the fused embedding
        (``modality="joint"``), the encoder's (``"rna"``) and the bridge's (``"atac"``). Of other
        files, a model of RNA and ATAC, or of ATAC. ``model.stages_`` lists what is trained.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not such a checkpoint; the message lists the tensors that do not match. If
        `peaks` are missing, or their number does not fit.
    """
    tensors = read_tensors(path)
    if is_stage_two(tensors):
        recipe = stage_two(tensors, genes, peaks)
    elif is_stage_one_atac(tensors):
        recipe = stage_one_atac(tensors, peaks)
    else:
        recipe = released(tensors, genes)
        if peaks is not None:
            msg = (
                f"Expected no peaks= for {recipe.source}, which has no ATAC encoder, found "
                f"{len(peaks)}. Leave out peaks=."
            )
            raise ValueError(msg)
    return build(tensors, recipe, options, path=path, accelerator=accelerator, device=device)
