"""Embeddings of single modalities fused into one, and the discriminator of real pairs."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class HiddenLayer(nn.Module):
    """A hidden layer to be added to a linear map; it starts by adding nothing."""

    def __init__(self, n_in: int, hidden: int, n_out: int, dropout: float = 0.0):
        super().__init__()
        self.w1 = nn.Linear(n_in, hidden)
        self.dropout = nn.Dropout(dropout)
        self.w2 = nn.Linear(hidden, n_out, bias=False)
        nn.init.zeros_(self.w2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, n_in)`` to ``(n, n_out)``."""
        return self.w2(self.dropout(F.gelu(self.w1(x))))


class Fusion(nn.Module):
    """Concatenation and one linear map, as published (ATAC before RNA).

    With ``hidden`` units a hidden layer is added to the map.
    """

    def __init__(self, n_latent: int, n_modalities: int = 2, hidden: int = 0):
        super().__init__()
        self.n_modalities = n_modalities
        n_in = n_modalities * n_latent
        self.to_out = nn.Linear(n_in, n_latent)
        self.hidden = HiddenLayer(n_in, hidden, n_latent) if hidden else None

    def forward(self, first: Tensor, second: Tensor, *others: Tensor) -> Tensor:
        """Fuse ``(n, n_latent)`` embeddings, RNA's first, into one of the same shape."""
        x = torch.cat([second, first, *others], dim=-1)  # (n, n_modalities * n_latent)
        z = self.to_out(x)
        return z if self.hidden is None else z + self.hidden(x)

    @torch.no_grad()
    def change_basis(self, basis: Tensor) -> None:
        """Make the output ``z @ basis`` from now on, ``(n_latent, n_latent)``."""
        for part in (self.to_out.weight, self.to_out.bias):
            part.copy_(basis.T @ part)
        if self.hidden is not None:
            self.hidden.w2.weight.copy_(basis.T @ self.hidden.w2.weight)

    @torch.no_grad()
    def keep_leading_parts(self) -> None:
        """Start as a concatenation: an equal part of the output is each input's leading part."""
        n, k = self.to_out.out_features, self.n_modalities
        part = n // k
        self.to_out.weight.mul_(0.05)
        for place, column in enumerate([1, 0, *range(2, k)]):
            rows = slice(place * part, (place + 1) * part)
            self.to_out.weight[rows, column * n : column * n + part] += torch.eye(part)


class Discriminator(nn.Module):
    """Tells fused embeddings of real pairs (class 0) from permuted ones (class 1)."""

    def __init__(self, n_latent: int, hidden: int):
        super().__init__()
        first = nn.Linear(n_latent, hidden)
        self.layers = nn.Sequential(first, nn.Dropout(0.2), nn.ReLU(), nn.Linear(hidden, 2))

    @torch.no_grad()
    def change_basis(self, inverse: Tensor) -> None:
        """Read embeddings ``z @ basis`` as those before, given the inverse of the basis."""
        first = cast(nn.Linear, self.layers[0])
        first.weight.copy_(first.weight @ inverse.T)

    def forward(self, z: Tensor) -> Tensor:
        """Return logits, ``(n, 2)``."""
        return self.layers(z)
