"""Protein encoder and decoder: antibody counts of a hundred or so proteins, hardly ever zero."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from scmomer.module._decoder import Decoder
from scmomer.module.modalities._encoders import Encoded, Encoder, LatentNorm
from scmomer.module.modalities.protein._config import ProteinConfig
from scmomer.nn import SparseRows, to_dense

_START_DISPERSION = 2.0


def centered_log_ratio(counts: SparseRows, n_proteins: int) -> SparseRows:
    """Return ``log(1 + counts)`` less its mean over the cell's proteins, for every protein.

    The usual normalization of antibody counts (Stoeckius 2017). All entries are stored, because
    no value is zero any more.
    """
    logs = torch.log1p(to_dense(counts, n_proteins))  # (n, n_proteins)
    values = logs - logs.mean(-1, keepdim=True)
    n, device = counts.n_rows, counts.values.device
    return SparseRows(
        torch.arange(n + 1, device=device) * n_proteins,
        torch.arange(n_proteins, device=device).repeat(n),
        values.flatten(),
    )


class ProteinEncoder(Encoder):
    """A linear map of centered log ratios, plus what a perceptron adds to it."""

    feature_axes: ClassVar[dict[str, int]] = {
        "mean": 0,
        "std": 0,
        "skip.weight": 1,
        "first.weight": 1,
        "guess.weight": 0,
        "guess.bias": 0,
    }
    input_tables = ("skip.weight", "first.weight")

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        n_proteins: int,
        config: ProteinConfig,
        n_latent: int,
        latent_norm: Literal["none", "layer"],
    ):
        super().__init__()
        hidden = config.hidden
        self.register_buffer("mean", torch.zeros(n_proteins))
        self.register_buffer("std", torch.ones(n_proteins))
        self.skip = nn.Linear(n_proteins, n_latent)
        self.first = nn.Linear(n_proteins, hidden)
        self.between = nn.Sequential(nn.LayerNorm(hidden), nn.GELU(), nn.Dropout(config.dropout))
        self.last = nn.Linear(hidden, n_latent)
        self.guess = nn.Linear(hidden, n_proteins)
        self.norm = LatentNorm(n_latent, latent_norm)

    @torch.no_grad()
    def standardize(self, mean: Tensor, std: Tensor) -> None:
        """Set mean and standard deviation of the centered log ratios, each ``(n_proteins,)``."""
        self.mean.copy_(mean)
        self.std.copy_(std)

    @torch.no_grad()
    def init_linear(self, weights: Tensor, bias: Tensor | None = None) -> None:
        """Start at a linear map from centered log ratios, ``(n_proteins, k)`` and ``(k,)``."""
        k = weights.shape[1]
        for parameter in (self.skip.weight, self.skip.bias, self.last.weight, self.last.bias):
            parameter.mul_(0.1)
        self.skip.weight[:k] = weights.T
        if bias is not None:
            self.skip.bias[:k] = bias

    def slow_parameters(self) -> list[nn.Parameter]:
        """Return the linear map."""
        return list(self.skip.parameters())

    def _encode(self, values: Tensor) -> tuple[Encoded, Tensor]:
        hidden = self.between(self.first((values - self.mean) / self.std))  # (n, hidden)
        cell = self.skip(values) + self.last(hidden)  # (n, n_latent)
        return Encoded(self.norm(cell), None), hidden

    def forward(self, features: SparseRows) -> Encoded:
        """Encode centered log ratios."""
        return self._encode(to_dense(features, len(self.mean)))[0]

    def masked(self, features: SparseRows, fraction: float) -> tuple[Encoded, Tensor]:
        """Encode with proteins hidden as average ones; the loss is their squared error."""
        values = to_dense(features, len(self.mean))  # (n, n_proteins)
        hides = torch.rand_like(values) < fraction
        encoded, hidden = self._encode(torch.where(hides, self.mean, values))
        error = (self.guess(hidden) - (values - self.mean) / self.std).square()
        return encoded, (error * hides).sum() / hides.sum().clamp_min(1)


class ProteinDecoder(Decoder):
    """Log of the expected counts, and how counts of each protein scatter around them."""

    feature_axes: ClassVar[dict[str, int]] = {**Decoder.feature_axes, "log_dispersion": 0}

    def __init__(self, n_latent: int, n_features: int, n_batches: int):
        super().__init__(n_latent, n_features, n_batches, True)
        self.log_dispersion = nn.Parameter(torch.full((n_features,), _START_DISPERSION))


def protein_decoder(decoder: Decoder) -> ProteinDecoder:
    """Return a decoder as one of proteins."""
    if not isinstance(decoder, ProteinDecoder):
        msg = f"Expected a decoder of proteins, found {type(decoder).__name__}."
        raise TypeError(msg)
    return decoder
