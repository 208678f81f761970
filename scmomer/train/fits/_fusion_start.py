"""Where fusion begins: at the directions that the modalities have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from scmomer.data import Cells, Split
from scmomer.inference import Inference
from scmomer.module import SCMOMERModule
from scmomer.train.fits._chosen_cells import batch_of, cells_with, center_within

_MIN_CELLS = 100  # fewer have correlations by chance
_MAX_CELLS = 2_000  # enough for directions of a hundred or so dimensions
_LEAST_SPREAD = 0.1  # of the widest dimension; narrower ones are mostly unused


@torch.no_grad()
def start_fusion(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Let fusion start at components of the encoders' standardized outputs side by side, in place.

    Every encoder has `n_latent` dimensions and so has what they are fused into. Components of the
    standardized dimensions come in the order of what the modalities have in common (generalized
    canonical correlation analysis: Kettenring, 1971, "Canonical analysis of several sets of
    variables"), which is also what one can tell of the other. Differences between batches take no
    part. Training cells with all modalities count; with few of them fusion stays a concatenation.
    """
    if not module.config.warm_start or not {*module.fused_modalities} <= cells.counts.keys():
        return
    chosen = cells_with(cells, split[0], module.fused_modalities, _MAX_CELLS)
    if len(chosen) < _MIN_CELLS:
        return
    encoded = {
        m: Inference(module, cells.select_modality(m), chosen).encode(m).astype(np.float64)
        for m in module.fused_modalities
    }
    batch = batch_of(cells, chosen)
    weights, bias = common_components(list(encoded.values()), batch, module.config.n_latent)
    module.fusion.init_linear(
        [torch.from_numpy(w).float() for w in weights], torch.from_numpy(bias)
    )


def common_components(
    parts: Sequence[np.ndarray], batch: np.ndarray | None, n_components: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the linear map from several embeddings to their common components.

    Parameters
    ----------
    parts
        Embeddings of the same cells, each ``(n, d)``.
    batch
        Of each cell, ``(n,)``, or None.
    n_components
        At most the number of dimensions of all parts.

    Returns
    -------
    tuple
        Weights of each part, ``(n_components, d)``, and the bias ``(n_components,)``, under which
        components have mean 0.
    """
    within = [center_within(part, batch) for part in parts]
    spreads = [part.std(0) for part in within]
    spreads = [np.maximum(s, max(_LEAST_SPREAD * s.max(), 1e-6)) for s in spreads]
    side_by_side = np.hstack([part / s for part, s in zip(within, spreads, strict=True)])
    _, axes = np.linalg.eigh(side_by_side.T @ side_by_side)
    axes = axes[:, ::-1][:, :n_components].T  # (n_components, d of all parts)
    edges = np.cumsum([part.shape[1] for part in parts])[:-1]
    split = np.split(axes, edges, axis=1)
    weights = [axis / s for axis, s in zip(split, spreads, strict=True)]
    bias = -sum(w @ part.mean(0) for w, part in zip(weights, parts, strict=True))
    return weights, np.asarray(bias)
