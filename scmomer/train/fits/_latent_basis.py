"""The unit of length in the fused embedding: distances of decoded expression."""

from __future__ import annotations

import torch

from scmomer._constants import ATAC, RNA
from scmomer.data import Cells, Split
from scmomer.module import SCMOMERModule

_MIN_EIGENVALUE = 0.03  # of the mean one; directions of accessibility alone stay visible


@torch.no_grad()
def fit_latent_basis(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Give fused embeddings the distances of the expression that is decoded from them, in place.

    Training leaves the axes of an embedding in arbitrary units, because decoders adapt to any. But
    k-means and nearest neighbors take distances at face value. So embeddings leave the network as
    ``z @ basis``, where ``basis`` is the symmetric root of ``slopes.T @ slopes`` and `slopes` are
    those of the expression decoder in units of each gene's spread: the squared distance of two
    cells is that of their decoded expression. Decoders go on reading ``z``.

    Only networks of RNA and ATAC: proteins separate types that expression does not, and count for
    too little in its units.
    """
    if not module.config.expression_metric or {*module.modalities} != {RNA, ATAC}:
        return
    slopes = module.rna.decoder.slopes() * module.rna.gene_weight.sqrt()[:, None]
    metric = (slopes.T @ slopes).cpu().double()  # (n_latent, n_latent)
    eigenvalues, axes = torch.linalg.eigh(metric)
    if eigenvalues.mean() > 0:  # else nothing is decoded
        roots = eigenvalues.clamp_min(_MIN_EIGENVALUE * eigenvalues.mean()).sqrt()
        module.basis.copy_((axes * roots) @ axes.T)
