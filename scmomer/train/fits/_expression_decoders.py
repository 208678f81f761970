"""Least squares for the decoders of expression that translations average."""

from __future__ import annotations

import numpy as np
import torch

from scmomer._constants import RNA
from scmomer.data import Cells, Split
from scmomer.inference import Inference
from scmomer.module import SCMOMERModule
from scmomer.nn import log_normalize_csr
from scmomer.train.fits._chosen_cells import batch_of, cells_with, slopes_within

_MAX_CELLS = 20_000  # enough for tens of weights a gene


@torch.no_grad()
def fit_expression_decoders(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Fit the decoders of heads into RNA to training cells by ridge regression, in place.

    Bridges learn with half of their inputs and hidden units dropped, and decoders shrink what
    reaches them by as much as that noise adds. So their predictions without it are too close to the
    mean. Mean predictions and differences between batches stay as they are, and frozen decoders.
    """
    if RNA not in cells.counts:
        return
    for source in module.modalities:
        if source == RNA or source not in cells.counts or not module.has_bridge(source, RNA):
            continue
        heads = module.heads_from(source)
        chosen = cells_with(cells, split[0], (RNA, source), _MAX_CELLS)
        if not heads or len(chosen) <= 2 * module.config.n_latent:
            continue
        expression = log_normalize_csr(cells.counts[RNA][chosen], float(module.rna.target_sum))
        found = Inference(module, cells.select_modality(source), chosen).embed(to=RNA)
        batch = batch_of(cells, chosen)
        for k, head in enumerate(heads):
            decoder = head.decoder(RNA)
            z = found.heads[source][:, k].astype(np.float64)
            if not decoder.linear.weight.requires_grad or np.allclose(z, z[0]):
                continue
            slopes = slopes_within(z, expression, batch)  # (n_genes, n_latent)
            if decoder.scale is not None:
                slopes = slopes / decoder.scale[:, 0].cpu().numpy()[:, None]
            new = torch.from_numpy(slopes).to(decoder.linear.weight)
            mean = torch.from_numpy(z.mean(0)).to(new)
            decoder.linear.bias.add_((decoder.linear.weight - new) @ mean)
            decoder.linear.weight.copy_(new)
