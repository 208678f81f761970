"""Biases of batches that a query adds: a convex problem, solved by Newton's method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scmomer.data import Cells
from scmomer.nn import to_rows

if TYPE_CHECKING:
    from scmomer.module import Decoder, SCMOMERModule

_MAX_STEPS = 25
_TOLERANCE = 5e-3  # logits, or spreads of a gene
_SPREAD = 0.2  # of biases around their mean, before any was seen
_ELEMENTS = 2**22  # cells x features at a time


@torch.no_grad()
def fit_query_bias(
    module: SCMOMERModule,
    modality: str,
    decoder: Decoder,
    z: Tensor,
    cells: Cells,
    rows: np.ndarray,
    codes: np.ndarray,
) -> None:
    r"""Fit what the batches of a query add to one decoder; everything else stays as it is.

    For batch :math:`b` and feature :math:`j` it minimises the decoder's own reconstruction loss
    :math:`\ell` over the cells of the batch, and shrinks towards the average batch,

    .. math::

        \sum_{i \in b} \ell(x_{ij}, \eta_{ij} + \beta_{jb}) + \frac{\beta_{jb}^2}{2 \tau_b^2},

    where the variance :math:`\tau_b^2` is estimated along (expectation maximisation with a Laplace
    approximation: the mean over features of :math:`\beta^2` and its posterior variance). A peak
    that is closed in every cell of a small batch therefore stays close to the average bias.

    Parameters
    ----------
    module
        Network that the decoder is of.
    modality
        What it decodes.
    decoder
        Its ``query_bias`` changes, in the columns of batches that occur in `codes`.
    z
        Embeddings that it reads, shape ``(n_rows, n_latent)``, on the device of the module.
    cells, rows
        Cells, and which of them to use; each has the modality. Shape ``(n_rows,)``.
    codes
        Code of the batch of each row, counted from the first batch that was added, ``(n_rows,)``.
    """
    if decoder.query_bias is None or not len(rows):
        return
    batches = np.unique(codes)
    member = torch.from_numpy(codes[:, None] == batches).to(z)  # (n_rows, n_batches)
    columns = torch.from_numpy(batches).to(z.device)
    variance = torch.full((len(batches),), _SPREAD**2).to(z)
    for _ in range(_MAX_STEPS):
        slope, curvature = _derivatives(module, modality, decoder, z, cells, rows, codes, member)
        bias = decoder.query_bias[:, columns]  # (n_features, n_batches)
        precision = curvature + 1 / variance
        step = (slope + bias / variance) / precision
        bias = bias - step.clamp(-1, 1)  # far from the optimum the curvature is no guide
        decoder.query_bias[:, columns] = bias
        before, variance = variance, (bias.square() + 1 / precision).mean(0)
        settled = (variance.sqrt() - before.sqrt()).abs().max() < _TOLERANCE
        if settled and step.abs().max() < _TOLERANCE:
            break


def _derivatives(
    module: SCMOMERModule,
    modality: str,
    decoder: Decoder,
    z: Tensor,
    cells: Cells,
    rows: np.ndarray,
    codes: np.ndarray,
    member: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return slope and curvature of the loss by bias, each ``(n_features, n_batches)``."""
    batch = torch.from_numpy(codes + decoder.n_train_batches).to(z.device)
    n_features = decoder.linear.out_features
    slope, curvature = z.new_zeros(2, n_features, member.shape[1])
    size = max(1, _ELEMENTS // n_features)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        counts = to_rows(cells.counts[modality][rows[part]]).to(z.device)
        kind = module.modality(modality)
        depth = kind.depth(counts) if kind.has_depth else None
        found = decoder(z[part], batch[part], depth)  # (n_part, n_features)
        first, second = kind.derivatives(decoder, found, counts)
        slope += first.T @ member[part]
        curvature += second.T @ member[part]
    unit = 1.0 if decoder.scale is None else decoder.scale
    return slope * unit, curvature * unit**2
