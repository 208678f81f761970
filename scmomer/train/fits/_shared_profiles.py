"""Shrinks the decoders of accessibility towards what cells with ATAC alone have in common."""

from __future__ import annotations

import logging

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd

from scmomer._constants import ATAC
from scmomer.data import Cells, Split
from scmomer.module import SCMOMERModule

logger = logging.getLogger(__name__)
_RANK = 32  # singular vectors; with 128 pseudobulks are worse: docs/benchmarks.md
_LEAST = 1e-4  # of the largest singular value
_MAX_CELLS = 20_000  # enough for the leading vectors


@torch.no_grad()
def share_profiles(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Shrink decoder weights towards the leading singular vectors of all open peaks, in place.

    Paired cells train what a decoder makes of an embedding, but a peak is open in few of them.
    Cells with ATAC alone show which peaks open together. The part of the weights outside the span
    of the first singular vectors of all training cells with ATAC, in units of the probability, is
    multiplied by the share of these cells that are paired. So nothing changes in paired data.
    """
    if not module.config.bridge.use_unpaired_atac or ATAC not in cells.counts:
        return
    train = split[0][cells.measured[ATAC][split[0]]]
    share = float((cells.n_measured[train] > 1).mean()) if len(train) else 0.0
    if share in (0.0, 1.0):
        return
    train = np.sort(train)[:: -(-len(train) // _MAX_CELLS)]
    open_peaks = (cells.counts[ATAC][train] > 0).astype(np.float32)
    rank = min(_RANK, *(n - 1 for n in open_peaks.shape))
    if rank < 1:
        return
    _, sizes, rows = randomized_svd(open_peaks, rank, random_state=seed)
    rows = rows[sizes > _LEAST * sizes[0]].astype(np.float32)  # others have any direction
    vectors = torch.from_numpy(rows).to(module.device)  # (rank, n_peaks)
    rate = (np.asarray(open_peaks.sum(0)).ravel() + 0.5) / (len(train) + 1)  # never 0
    units = torch.from_numpy(rate.astype(np.float32))[:, None].to(module.device)
    for decoder in module.all_decoders(ATAC):
        slopes = decoder.linear.weight * units  # (n_peaks, n_latent)
        common = vectors.T @ (vectors @ slopes)
        decoder.linear.weight.copy_((common + share * (slopes - common)) / units)
    logger.info(
        "Decoders of accessibility share profiles: %.0f %% of the cells with ATAC are paired.",
        100 * share,
    )
