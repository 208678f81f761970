"""Small networks between and behind the encoders: fusion, bridge, decoders, discriminator."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmomer.module._config import BridgeInput
from scmomer.module._rows import SparseRows, drop_entries, sparse_linear, to_dense


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


class Bridge(nn.Module):
    """Predict the embedding of a missing modality from what is measured.

    The paper feeds the embedding of the measured modality, the published code its normalised
    features; ``source`` chooses either or both. The features enter scaled to unit variance. With
    ``centred`` their mean is subtracted, so that input dropout hides which genes are absent as well
    as which are present, and a dropped gene counts as an average one. ``norm`` is the published
    layer norm of the hidden units; without it they are ReLU.

    With one more embedding among its outputs it also refines the one that it starts from (not in
    the paper): what fusion then takes of a modality has passed through hidden units that input dropout and
    rebuilding keep from fitting noise, which the encoders' linear start has not.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        n_features: int,
        n_latent: int,
        n_outputs: int,
        hidden: int,
        dropout: float,
        input_dropout: float,
        source: BridgeInput,
        centred: bool = False,
        norm: bool = True,
    ):
        super().__init__()
        self.input_dropout, self.centred = input_dropout, centred
        self.embedding = nn.Linear(n_latent, hidden) if source != "expression" else None
        self.features: nn.Parameter | None = None
        if source != "embedding":
            self.features = nn.Parameter(torch.randn(n_features, hidden) / (3 * n_features) ** 0.5)
            self.bias = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("scale", torch.ones(n_features))
        self.register_buffer("shift", torch.zeros(n_features))
        between = [nn.LayerNorm(hidden), nn.GELU()] if norm else [nn.Identity(), nn.ReLU()]
        self.rest = nn.Sequential(*between, nn.Dropout(dropout), nn.Linear(hidden, n_outputs))

    @torch.no_grad()
    def standardize(self, mean: Tensor, std: Tensor) -> None:
        """Set mean and standard deviation of the features, each ``(n_features,)``."""
        self.scale.copy_(1 / std)
        if self.centred:
            self.shift.copy_(mean / std)

    def forward(self, cell: Tensor, features: SparseRows) -> Tensor:
        """Map ``(n, n_latent)`` and normalised features to ``(n, n_outputs)``."""
        hidden = cell.new_zeros(())
        if self.embedding is not None:
            hidden = hidden + self.embedding(cell)  # (n, hidden)
        if self.features is not None:
            values = features.values * self.scale[features.indices]
            hidden = hidden + self._read(features._replace(values=values)) + self.bias
        return self.rest(hidden)

    def _read(self, features: SparseRows) -> Tensor:
        """Multiply scaled features and weights, ``(n, hidden)``."""
        weights = torch.as_tensor(self.features)
        if not self.training or not self.input_dropout:
            return sparse_linear(features, weights) - self.shift @ weights
        if self.centred:  # every gene takes part in the dropout, so the batch is dense here
            dense = to_dense(features, len(weights)) - self.shift  # (n, n_features)
            return F.dropout(dense, self.input_dropout) @ weights
        features = drop_entries(features, self.input_dropout)
        values = features.values / (1 - self.input_dropout)
        return sparse_linear(features._replace(values=values), weights)


class DecoderInput(nn.Module):
    """What a decoder makes of the fused embedding first: a linear map and a hidden layer.

    It starts as the identity. With it a decoder can weigh the directions of the embedding as it
    needs, while the embedding keeps the distances that clustering needs.
    """

    def __init__(self, n_latent: int, hidden: int, dropout: float):
        super().__init__()
        self.linear = nn.Linear(n_latent, n_latent, bias=False)
        self.hidden = HiddenLayer(n_latent, hidden, n_latent, dropout)
        nn.init.eye_(self.linear.weight)

    def forward(self, z: Tensor) -> Tensor:
        """Map ``(n, n_latent)`` to the same shape."""
        return self.linear(z) + self.hidden(z)


class Decoder(nn.Module):
    """One linear map from the fused embedding to all features, as published.

    Added are a bias for each batch and, for accessibility, a slope on the cell's depth, so that
    the embedding need not carry either. All terms are one product: ``augment(z) @ weights().T``.
    With ``scaled`` parameters are in units of each feature's spread (:meth:`start_at`): otherwise a
    step of the optimiser moves a rare gene twenty times as far as a common one.

    Batches that a query adds later (:meth:`add_query_batches`) have their biases apart from those of
    training, as differences from the average batch: what is decoded without them stays as it was, to
    the bit.
    """

    scale: Tensor | None
    query_bias: Tensor | None

    def __init__(
        self,
        n_latent: int,
        n_features: int,
        n_batches: int,
        depth_term: bool,
        hidden: int = 0,
        dropout: float = 0.0,
        scaled: bool = False,
    ):
        super().__init__()
        self.input = DecoderInput(n_latent, hidden, dropout) if hidden else nn.Identity()
        self.linear = nn.Linear(n_latent, n_features)
        nn.init.normal_(self.linear.weight, std=0.1 / n_latent**0.5)
        self.n_named = n_batches  # a single batch has a name, but no bias of its own
        self.n_batches = n_batches if n_batches > 1 else 0
        self.batch_bias = nn.Parameter(torch.zeros(n_features, self.n_batches))
        self.depth_slope = nn.Parameter(torch.ones(n_features, 1)) if depth_term else None
        self.register_buffer("scale", torch.ones(n_features, 1) if scaled else None)
        self.register_buffer("query_bias", None)

    def add_query_batches(self, n: int) -> None:
        """Add `n` batches that speak as the average one until they are fitted.

        Their codes follow those of the batches of training.
        """
        bias = self.linear.bias
        added = bias.new_zeros(bias.shape[0], n)
        before = [] if self.query_bias is None else [self.query_bias]
        self.query_bias = torch.cat([*before, added], dim=-1).detach()

    @torch.no_grad()
    def start_at(self, mean: Tensor, spread: Tensor | None = None) -> None:
        """Start at the mean profile, ``(n_features,)`` values or logits, and set the units."""
        if self.scale is not None and spread is not None:
            self.scale.copy_(spread[:, None])
            mean = mean / spread
        self.linear.bias.copy_(mean)

    def slopes(self) -> Tensor:
        """Return how the embedding moves each feature, ``(n_features, n_latent)``.

        Of a hidden layer before it only the linear part beside it counts.
        """
        weights = self.linear.weight.detach()
        if isinstance(self.input, DecoderInput):
            weights = weights @ self.input.linear.weight.detach()
        return weights if self.scale is None else weights * self.scale

    @torch.no_grad()
    def change_basis(self, inverse: Tensor) -> None:
        """Read embeddings ``z @ basis`` as those before, given the inverse of the basis."""
        first = [self.linear]
        if isinstance(self.input, DecoderInput):
            first = [self.input.linear, self.input.hidden.w1]
        for layer in first:
            layer.weight.copy_(layer.weight @ inverse.T)

    def augment(self, z: Tensor, batch: Tensor | None, depth: Tensor | None) -> Tensor:
        """Append one, depth and batch to `z`.

        A batch that is missing, negative or added later is the average one here.
        """
        parts = [self.input(z), z.new_ones(z.shape[0], 1)]
        if self.depth_slope is not None:
            parts.append((z.new_zeros(z.shape[0]) if depth is None else depth)[:, None])
        if self.n_batches:
            average = z.new_full((z.shape[0], self.n_batches), 1 / self.n_batches)
            if batch is not None:
                is_known = (batch >= 0) & (batch < self.n_batches)
                known = torch.eye(self.n_batches, device=z.device)[batch * is_known]
                average = torch.where(is_known[:, None], known, average)
            parts.append(average)
        return torch.cat(parts, dim=-1)  # (n, n_latent + 1 [+ 1] [+ n_batches])

    def weights(self, columns: slice | Tensor = slice(None)) -> Tensor:
        """Return the weights that belong to :meth:`augment`, ``(n_columns, ...)``."""
        parts = [self.linear.weight[columns], self.linear.bias[columns, None]]
        if self.depth_slope is not None:
            parts.append(self.depth_slope[columns])
        weights = torch.cat([*parts, self.batch_bias[columns]], dim=-1)
        return weights if self.scale is None else weights * self.scale[columns]

    def forward(
        self,
        z: Tensor,
        batch: Tensor | None = None,
        depth: Tensor | None = None,
        columns: slice | Tensor = slice(None),
    ) -> Tensor:
        """Return values or logits of the features in `columns`, ``(n, n_columns)``."""
        values = self.augment(z, batch, depth) @ self.weights(columns).T
        if self.query_bias is None or batch is None:
            return values
        bias = self.query_bias if self.scale is None else self.query_bias * self.scale
        is_added = batch >= self.n_named
        added = bias[columns].T[(batch - self.n_named) * is_added]  # (n, n_columns)
        return values + added * is_added[:, None]


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
