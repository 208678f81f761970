"""Depth of a modality that was not measured, predicted from RNA."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_MAX_SIZE = 3.0  # standard deviations of log library size; beyond, squares would run away
_MAX_DEPTH = 4.0  # standard deviations of the predicted log depth


class DepthHead(nn.Module):
    """A quadratic function of a cell's RNA depth and its embedding, fitted by ridge regression.

    Parameters
    ----------
    n_latent
        Width of the embedding.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, n_latent: int):
        super().__init__()
        self.register_buffer("weight", torch.zeros(2 * n_latent + 5))
        self.register_buffer("bias", torch.zeros(()))

    @staticmethod
    def features(z: Tensor, sizes: Tensor) -> Tensor:
        """Return what the function is linear in, ``(n, 2 * n_latent + 5)``.

        Parameters
        ----------
        z
            Fused embeddings, ``(n, n_latent)``.
        sizes
            Standardised logs of RNA counts and of expressed genes, ``(n, 2)``.
        """
        sizes = sizes.clamp(-_MAX_SIZE, _MAX_SIZE)
        counts, genes = sizes[:, :1], sizes[:, 1:]  # (n, 1) each
        products = [counts * genes, counts.square(), genes.square(), z * genes]
        return torch.cat([z, sizes, *products], -1)

    def forward(self, z: Tensor, sizes: Tensor) -> Tensor:
        """Return the standardized log depth, ``(n,)``; see :meth:`features`."""
        depth = self.features(z, sizes) @ self.weight + self.bias
        return depth.clamp(-_MAX_DEPTH, _MAX_DEPTH)
