"""Fits the heads that predict the depth of modalities from RNA."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import RidgeCV

from scmomer._constants import RNA
from scmomer.data import Cells, Split
from scmomer.inference import Inference, to_device
from scmomer.module import SCMOMERModule
from scmomer.nn import to_rows

_MAX_FIT_CELLS = 20_000  # more would not make seventy weights any better
_STRENGTHS = np.logspace(-2, 4, 7)


@torch.no_grad()
def fit_depth_heads(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Fit each depth head to training cells with RNA and its modality, in place.

    Ridge regression, its strength by leave-one-out error; in closed form, so that the result does
    not depend on where an optimizer stops.
    """
    if not cells.has_depth:  # weights of zero predict the mean depth
        return
    train = split[0]
    for modality in module.depth_heads:
        if not {RNA, modality} <= cells.counts.keys():
            continue
        head = module.depth_head(modality)
        chosen = train[cells.has_all(RNA, modality)[train]]
        chosen = chosen[:: max(1, -(-len(chosen) // _MAX_FIT_CELLS))]
        if len(chosen) < 2:
            continue
        found = Inference(module, cells.select_modality(RNA), chosen).embed()
        rna, other = (
            to_device(to_rows(cells.counts[m][chosen]), module.device) for m in (RNA, modality)
        )
        z = torch.from_numpy(found.z).to(module.device)
        x = head.features(z, module.rna.library_size(rna)).double().cpu().numpy()
        depth = module.modality(modality).depth(other).double().cpu().numpy()
        spread = x.std(0)
        spread[spread < 1e-6] = np.inf  # the same in all cells
        fit = RidgeCV(_STRENGTHS).fit((x - x.mean(0)) / spread, depth)
        weight = fit.coef_ / spread
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.fill_(float(fit.intercept_ - x.mean(0) @ weight))
