"""What every encoder gives and takes, and the plain MLP encoder."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmomer.nn import SparseRows, drop_entries, sparse_linear


class Encoded(NamedTuple):
    """Output of an encoder."""

    cell: Tensor
    """Cell embedding, shape ``(n, n_latent)``."""
    tokens: Tensor | None
    """Contextual token embeddings (genes, patches), ``(n, length, dim)``; None without tokens."""


class Encoder(Protocol):
    """Maps a minibatch of normalised features to cell and token embeddings.

    Genes come as log expression, peaks as ones (:meth:`SCMOMERModule.normalize`).
    """

    def __call__(self, features: SparseRows) -> Encoded:
        """Encode a minibatch."""
        ...

    def masked(self, features: SparseRows, fraction: float) -> tuple[Encoded, Tensor]:
        """Encode with a `fraction` hidden; return also the loss of predicting what was hidden."""
        ...

    def start_at(self, weights: Tensor, bias: Tensor | None = None) -> None:
        """Begin near a linear map from features, ``(n_features, k)`` and ``(k,)``, if possible."""
        ...


class LatentNorm(nn.Module):
    """Published normalisation of a cell embedding: L2, then layer norm; or none.

    A layer norm puts all cells at one distance from the origin, which costs rare cell types
    their distance from the others; the default sizes leave it out.
    """

    def __init__(self, n_latent: int, kind: Literal["none", "layer"]):
        super().__init__()
        self.ln = nn.LayerNorm(n_latent) if kind == "layer" else None

    def forward(self, cell: Tensor) -> Tensor:
        """Normalise ``(n, n_latent)``; a zero vector stays finite."""
        if self.ln is None:
            return cell
        return self.ln(F.normalize(cell, dim=-1, eps=1e-8))


class MLPEncoder(nn.Module):
    """Two-layer perceptron on normalised features; the baseline, and the choice for tiny data.

    Parameters
    ----------
    n_features
        Genes or peaks.
    n_latent
        Size of the cell embedding.
    hidden
        Width of the hidden layer.
    dropout
        Share of the hidden units dropped in training.
    norm
        Normalisation of the embedding.
    """

    def __init__(
        self,
        n_features: int,
        n_latent: int,
        hidden: int,
        dropout: float,
        norm: Literal["none", "layer"],
    ):
        super().__init__()
        self.first = nn.Parameter(torch.randn(n_features, hidden) / hidden**0.5)
        self.rest = nn.Sequential(
            nn.LayerNorm(hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, n_latent)
        )
        self.norm = LatentNorm(n_latent, norm)

    def start_at(self, weights: Tensor, bias: Tensor | None = None) -> None:
        """Ignore a linear start: the hidden layer has no place for one."""

    def forward(self, features: SparseRows) -> Encoded:
        """Encode normalised rows."""
        hidden = sparse_linear(features, self.first)  # (n, hidden)
        return Encoded(self.norm(self.rest(hidden)), None)

    def masked(self, features: SparseRows, fraction: float) -> tuple[Encoded, Tensor]:
        """Encode with features hidden; there are no tokens to predict, so the loss is zero."""
        encoded = self(drop_entries(features, fraction))
        return encoded, encoded.cell.new_zeros(())
