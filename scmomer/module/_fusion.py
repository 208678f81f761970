"""Embeddings of single modalities fused into one, and the discriminator of real pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_DISCRIMINATOR_HIDDEN = 64


class Fusion(nn.Module):
    """Concatenation and one linear map, as published (ATAC before RNA)."""

    def __init__(self, n_latent: int, n_modalities: int = 2):
        super().__init__()
        self.n_modalities = n_modalities
        self.to_out = nn.Linear(n_modalities * n_latent, n_latent)

    def forward(self, first: Tensor, second: Tensor, *others: Tensor) -> Tensor:
        """Fuse ``(n, n_latent)`` embeddings, RNA's first, into one of the same shape."""
        return self.to_out(torch.cat([second, first, *others], dim=-1))

    @torch.no_grad()
    def init_linear(self, weights: Sequence[Tensor], bias: Tensor) -> None:
        """Start at a linear map, ``(n_latent, n_latent)`` of each embedding in the order of inputs."""
        first, second, *others = weights
        self.to_out.weight.copy_(torch.cat([second, first, *others], 1))
        self.to_out.bias.copy_(bias)

    @torch.no_grad()
    def init_concatenation(self) -> None:
        """Start as a concatenation: an equal part of the output is each input's leading part."""
        n, k = self.to_out.out_features, self.n_modalities
        part = n // k
        self.to_out.weight.mul_(0.05)
        for place, column in enumerate([1, 0, *range(2, k)]):
            rows = slice(place * part, (place + 1) * part)
            self.to_out.weight[rows, column * n : column * n + part] += torch.eye(part)


class Discriminator(nn.Module):
    """Tells fused embeddings of real pairs (class 0) from permuted ones (class 1)."""

    def __init__(self, n_latent: int):
        super().__init__()
        first = nn.Linear(n_latent, _DISCRIMINATOR_HIDDEN)
        self.layers = nn.Sequential(
            first, nn.Dropout(0.2), nn.ReLU(), nn.Linear(_DISCRIMINATOR_HIDDEN, 2)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return logits, ``(n, 2)``."""
        return self.layers(z)
