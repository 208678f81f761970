"""The unit of length in the embedding: distances of expression."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scmomer._constants import ATAC, RNA
from scmomer.data import Cells, Split
from scmomer.inference import Inference
from scmomer.module import SCMOMERModule
from scmomer.nn import log_normalize_csr
from scmomer.train.fits._chosen_cells import batch_of, cells_with, slopes_within

_MAX_CELLS = 20_000  # enough for tens of weights a gene
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
    _set_basis(module, module.rna.decoder.slopes())


@torch.no_grad()
def fit_rna_basis(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Give embeddings of a model of RNA alone the distances of expression, in place.

    As :func:`fit_latent_basis`, but with the slopes of a ridge regression of the training cells'
    expression on their embeddings: the short stage 1 inflates directions that its decoder has
    hardly learned to read, and in distances they would outweigh others.
    """
    if not module.config.expression_metric or {*module.modalities} != {RNA}:
        return
    chosen = cells_with(cells, split[0], (RNA,), _MAX_CELLS)
    if len(chosen) <= module.config.n_latent:
        return
    z = Inference(module, cells, chosen).embed().z.astype(np.float64)
    if np.allclose(z, z[0]):
        return
    expression = log_normalize_csr(cells.counts[RNA][chosen], float(module.rna.target_sum))
    batch = batch_of(cells, chosen)
    slopes = torch.from_numpy(slopes_within(z, expression, batch))
    _set_basis(module, slopes.to(module.basis))


def _set_basis(module: SCMOMERModule, slopes: Tensor) -> None:
    """Set the basis for `slopes` from the embedding to log expression, ``(n_genes, n_latent)``."""
    scaled = slopes * module.rna.gene_weight.sqrt()[:, None]  # in units of each gene's spread
    metric = (scaled.T @ scaled).cpu().double()  # (n_latent, n_latent)
    eigenvalues, axes = torch.linalg.eigh(metric)
    if eigenvalues.mean() > 0:  # else nothing is decoded
        roots = eigenvalues.clamp_min(_MIN_EIGENVALUE * eigenvalues.mean()).sqrt()
        module.basis.copy_((axes * roots) @ axes.T)
