"""How far batches lie apart in an embedding, as a loss."""

from __future__ import annotations

import torch
from torch import Tensor

_WIDTHS = (0.5, 1.0, 2.0)  # of the kernel, relative to the mean squared distance of the cells


def batch_discrepancy(z: Tensor, batch: Tensor) -> Tensor:
    """Return the squared maximum mean discrepancy of each batch and the others, their mean.

    Gretton et al., JMLR 2012, with a sum of Gaussian kernels whose widths follow the data. The
    biased estimate: never below zero, and zero for equal samples.

    Parameters
    ----------
    z
        Embeddings, shape ``(n, d)``.
    batch
        Batch of each cell, shape ``(n,)``; cells of a negative one are left out. Batches of a
        single cell, or all others together of a single cell, do not count.
    """
    z, batch = z[batch >= 0], batch[batch >= 0]
    _, codes, sizes = torch.unique(batch, return_inverse=True, return_counts=True)
    others = len(z) - sizes  # (n_batches,)
    counts = (sizes > 1) & (others > 1)
    if not counts.any():
        return z.new_zeros(()) * z.sum()
    inside = torch.nn.functional.one_hot(codes, len(sizes)).to(z.dtype)  # (n, n_batches)
    contrast = inside / sizes - (1 - inside) / others.clamp_min(1)
    distance = torch.cdist(z, z).square()  # (n, n)
    typical = distance.detach().mean().clamp_min(1e-12)
    kernel = torch.stack([torch.exp(-distance / (w * typical)) for w in _WIDTHS]).mean(0)
    found = torch.einsum("nb,nm,mb->b", contrast, kernel, contrast)
    return found[counts].clamp_min(0).mean()
