"""Least squares for what bridges predict."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import nn

from scmomer._constants import RNA
from scmomer.data import Cells, Split
from scmomer.inference import Inference
from scmomer.module import SCMOMERModule
from scmomer.nn import CellBatch
from scmomer.train.fits._chosen_cells import batch_of, cells_with, slopes_within

_MAX_CELLS = 20_000  # enough for tens of weights an output


@torch.no_grad()
def fit_bridge_outputs(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Fit the outputs of bridges into RNA by ridge regression, in place.

    Bridges learn with half of their inputs and hidden units dropped, so without it their
    predictions are too close to the mean; those from shallow ATAC, which tells little of a cell,
    most. A linear map, folded into the last layer, brings what fusion reads of training cells that
    show one modality to what it reads of them when RNA is measured too. Not from RNA: what it
    predicts is the expectation that measured ATAC is shrunk to, and needs no fit. Nor without
    ``measured_gain``, as in deep cells: fusion then reads measurements with their noise. Frozen
    bridges stay.
    """
    if RNA not in cells.counts or module.config.measured_gain is False:
        return
    for source in cells.counts:
        if source == RNA or not module.fused or not module.has_bridge(source, RNA):
            continue
        last = cast(nn.Linear, module.bridges_from(source)[0].rest[-1])
        chosen = cells_with(cells, split[0], (RNA, source), _MAX_CELLS)
        outputs = [RNA] if module.refines is None else [RNA, source]
        n_weights = len(outputs) * module.config.n_latent
        if not last.weight.requires_grad or len(chosen) <= 2 * n_weights:
            continue
        shown = _fused(module, cells, chosen, (source,), outputs)
        if np.allclose(shown, shown[0]):
            continue
        wanted = _fused(module, cells, chosen, (RNA, source), outputs)
        batch = batch_of(cells, chosen)
        slopes = slopes_within(shown, wanted, batch)
        start = torch.from_numpy(wanted.mean(0) - slopes @ shown.mean(0)).to(last.weight)
        linear = torch.from_numpy(slopes).to(last.weight)
        rows = _rows(module, source, outputs)
        last.bias[rows] = linear @ last.bias[rows] + start
        last.weight[rows] = linear @ last.weight[rows]


def _fused(
    module: SCMOMERModule,
    cells: Cells,
    chosen: np.ndarray,
    shown: tuple[str, ...],
    outputs: list[str],
) -> np.ndarray:
    """Return what fusion reads of cells that show some modalities, ``(n, outputs * n_latent)``."""
    found = np.zeros((len(chosen), len(outputs) * module.config.n_latent))

    def embed_some(position: np.ndarray, batch: CellBatch) -> None:
        here = batch.to(module.device)
        parts = module.embed(here.counts, here.encoded).parts
        found[position] = torch.cat([parts[m] for m in outputs], 1).cpu().numpy()

    Inference(module, cells).each(chosen, shown, embed_some)
    return found


def _rows(module: SCMOMERModule, source: str, outputs: list[str]) -> np.ndarray:
    """Return the rows of a bridge's last layer that give these outputs."""
    order = [*(m for m in module.fused_modalities if m != source), source]
    width = module.config.n_latent
    return np.concatenate([order.index(m) * width + np.arange(width) for m in outputs])
