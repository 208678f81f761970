"""From an embedding to the features of a modality."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn


class Decoder(nn.Module):
    """One linear map from the fused embedding to all features, as published.

    Added are a bias for each batch and, for accessibility, a slope on the cell's depth, so that
    the embedding need not carry either. All terms are one product:
    ``design_matrix(z) @ weights().T``. With `scaled`, parameters are in units of each feature's
    spread (:meth:`init_mean`): otherwise a step of the optimizer moves a rare gene twenty times as
    far as a common one.

    Batches that a query adds later (:meth:`add_query_batches`) have biases apart from those of
    training, as differences from the average batch: predictions for other batches stay the same to
    the bit.
    """

    feature_axes: ClassVar[dict[str, int]] = {
        "linear.weight": 0,
        "linear.bias": 0,
        "batch_bias": 0,
        "depth_slope": 0,
        "scale": 0,
        "query_bias": 0,
    }
    """Tensors with one entry for each feature, and the axis."""

    scale: Tensor | None
    query_bias: Tensor | None

    def __init__(
        self,
        n_latent: int,
        n_features: int,
        n_batches: int,
        depth_term: bool,
        scaled: bool = False,
    ):
        super().__init__()
        self.linear = nn.Linear(n_latent, n_features)
        nn.init.normal_(self.linear.weight, std=0.1 / n_latent**0.5)
        self.n_train_batches = n_batches  # a single batch has no bias of its own
        self.n_batches = n_batches if n_batches > 1 else 0
        self.batch_bias = nn.Parameter(torch.zeros(n_features, self.n_batches))
        self.depth_slope = nn.Parameter(torch.ones(n_features, 1)) if depth_term else None
        self.register_buffer("scale", torch.ones(n_features, 1) if scaled else None)
        self.register_buffer("query_bias", None)

    def add_query_batches(self, n: int) -> None:
        """Add `n` batches that equal the average one until they are fitted.

        Their codes follow those of the batches of training.
        """
        bias = self.linear.bias
        added = bias.new_zeros(bias.shape[0], n)
        before = [] if self.query_bias is None else [self.query_bias]
        self.query_bias = torch.cat([*before, added], dim=-1).detach()

    @torch.no_grad()
    def init_mean(self, mean: Tensor, spread: Tensor | None = None) -> None:
        """Start at the mean profile, ``(n_features,)`` values or logits, and set the units."""
        if self.scale is not None and spread is not None:
            self.scale.copy_(spread[:, None])
            mean = mean / spread
        self.linear.bias.copy_(mean)

    def slopes(self) -> Tensor:
        """Return how the embedding moves each feature, ``(n_features, n_latent)``."""
        weights = self.linear.weight.detach()
        return weights if self.scale is None else weights * self.scale

    def design_matrix(self, z: Tensor, batch: Tensor | None, depth: Tensor | None) -> Tensor:
        """Append one, depth and batch to `z`.

        A batch that is missing, negative or added later is the average one here.
        """
        parts = [z, z.new_ones(z.shape[0], 1)]
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
        """Return the weights that belong to :meth:`design_matrix`, ``(n_columns, ...)``."""
        parts = [self.linear.weight[columns], self.linear.bias[columns, None]]
        if self.depth_slope is not None:
            parts.append(self.depth_slope[columns])
        weights = torch.cat([*parts, self.batch_bias[columns]], dim=-1)
        return weights if self.scale is None else weights * self.scale[columns]

    @property
    def sees_depth(self) -> bool:
        """Whether it has a depth term."""
        return self.depth_slope is not None

    def depth_slopes(self, columns: slice | Tensor = slice(None)) -> Tensor:
        """Return what a standard deviation of the log depth adds, ``(n_columns,)``."""
        slopes = torch.as_tensor(self.depth_slope)[columns, 0]
        return slopes if self.scale is None else slopes * self.scale[columns, 0]

    def forward(
        self,
        z: Tensor,
        batch: Tensor | None = None,
        depth: Tensor | None = None,
        columns: slice | Tensor = slice(None),
    ) -> Tensor:
        """Return values or logits of the features in `columns`, ``(n, n_columns)``."""
        values = self.design_matrix(z, batch, depth) @ self.weights(columns).T
        if self.query_bias is None or batch is None:
            return values
        bias = self.query_bias if self.scale is None else self.query_bias * self.scale
        is_added = batch >= self.n_train_batches
        added = bias[columns].T[(batch - self.n_train_batches) * is_added]  # (n, n_columns)
        return values + added * is_added[:, None]
