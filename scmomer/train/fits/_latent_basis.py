"""The unit of length in the fused embedding: what expression makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from scmomer._constants import ATAC, RNA

if TYPE_CHECKING:
    from scmomer.module import SCMOMERModule

_LEAST = 0.03  # of the mean squared length; directions of accessibility alone stay visible


@torch.no_grad()
def measure_by_expression(module: SCMOMERModule) -> None:
    """Give the fused embedding the distances of the expression that is decoded from it, in place.

    Training leaves the axes of an embedding in arbitrary units, because decoders adapt to any. But
    k-means and nearest neighbours take distances at face value. Here an embedding ``z`` becomes
    ``z @ root``, where ``root`` is the symmetric root of ``slopes.T @ slopes`` and `slopes` are
    those of the expression decoder in units of each gene's spread: so the squared distance of two
    cells is that of their decoded expression. All that reads the embedding is changed inversely,
    and what is decoded stays the same.

    Only networks of RNA and ATAC: proteins tell types apart that expression does not, and count
    for too little in its units.
    """
    if {*module.encoders} != {RNA, ATAC}:
        return
    slopes = module.decoder(RNA).slopes() * module.gene_weight.sqrt()[:, None]
    metric = (slopes.T @ slopes).cpu().double()  # (n_latent, n_latent)
    lengths, axes = torch.linalg.eigh(metric)
    if not lengths.mean() > 0:
        return  # nothing is decoded
    roots = lengths.clamp_min(_LEAST * lengths.mean()).sqrt()
    basis, inverse = ((axes * scale) @ axes.T for scale in (roots, 1 / roots))
    basis, inverse = basis.to(slopes), inverse.to(slopes)
    module.fusion.change_basis(basis)
    readers = [module.decoder(m) for m in module.decoders]
    if module.rate_decoder is not None:
        readers.append(module.rate_decoder)
    for decoder in readers:
        decoder.change_basis(inverse)
    module.discriminator.change_basis(inverse)
    for modality in module.depth_heads:
        module.depth_head(modality).change_basis(inverse)
