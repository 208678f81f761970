"""What every encoder reads and returns, and the plain MLP encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmomer.nn import SparseRows, drop_entries, sparse_linear

_SMALL = 0.1  # of the perceptron's output, where it begins beside a linear map


class Encoded(NamedTuple):
    """Output of an encoder."""

    cell: Tensor
    """Cell embedding, shape ``(n, n_latent)``."""
    tokens: Tensor | None
    """Contextual token embeddings (genes, patches), ``(n, length, dim)``; None without tokens."""


class FeatureTokens(NamedTuple):
    """Contextual embeddings of the features that the cells of a minibatch have."""

    cells: Tensor
    """Cell of each token, ``(n_tokens,)``, int64."""
    genes: Tensor
    """Feature of each token, ``(n_tokens,)``, int64."""
    vectors: Tensor
    """Its embedding, ``(n_tokens, dim)``."""


class Encoder(nn.Module, ABC):
    """Maps a minibatch of normalized features to cell and token embeddings.

    Features are what :meth:`ModalityModule.normalize` returns: log expression of genes, ones at
    open peaks. Subclass it to use an encoder of your own, as in
    ``SCMOMER(mdata, rna_encoder=MyEncoder())``. Only :meth:`forward` is required.
    """

    feature_axes: ClassVar[dict[str, int]] = {}
    """Tensors with one entry for each feature, and the axis; with ``init_from=`` these are copied
    by the names of the features, all others as they are."""
    input_tables: ClassVar[tuple[str, ...]] = ()
    """Those of them that features are multiplied with: zero for features that are new."""
    order_tables: ClassVar[tuple[str, ...]] = ()
    """Tensors that make sense for the same features in the same order only."""
    has_gene_tokens: ClassVar[bool] = False
    """Whether :meth:`gene_tokens` returns any."""

    @abstractmethod
    def forward(self, features: SparseRows) -> Encoded:
        """Encode a minibatch."""

    def masked(self, features: SparseRows, fraction: float) -> tuple[Encoded, Tensor]:
        """Encode with a `fraction` hidden; return also the loss of predicting what was hidden.

        Without tokens there is nothing to predict: the loss is zero.
        """
        encoded = self(drop_entries(features, fraction))
        return encoded, encoded.cell.new_zeros(())

    def init_linear(self, weights: Tensor, bias: Tensor | None = None) -> None:
        """Begin near a linear map from features, ``(n_features, k)`` and ``(k,)``, if possible."""

    def gene_tokens(self, features: SparseRows) -> FeatureTokens | None:
        """Return the contextual embedding of each expressed gene; None without such tokens."""
        return None

    def feature_table(self) -> Tensor | None:
        """Return a learned vector for each feature, ``(n_features, dim)``; None without one."""
        return None

    def slow_parameters(self) -> list[nn.Parameter]:
        """Return parameters that :meth:`init_linear` sets; they move slowly up to stage 3."""
        return []

    def trainable_layers(self) -> list[nn.Module]:
        """Return what fine-tuning trains, as published: the last block and final norms."""
        return [self]

    def last_layers(self) -> list[nn.Module]:
        """Return what ``train(freeze="all_but_last")`` trains."""
        return [self]

    def n_tokens(self, lengths: np.ndarray) -> np.ndarray | None:
        """Return the tokens of cells with so many stored counts; None if they are always few.

        Minibatches are made smaller where cells have many.
        """
        return None

    def bytes_per_token(self) -> float:
        """Return roughly what training stores for each token, to fit minibatches into memory."""
        return 0.0


def last_third(blocks: nn.ModuleList) -> list[nn.Module]:
    """Return the last third of the blocks, at least one: two of the published six."""
    return list(blocks)[-max(1, len(blocks) // 3) :]


class LatentNorm(nn.Module):
    """Published normalization of a cell embedding: L2, then layer norm; or none.

    A layer norm puts all cells at one distance from the origin, which costs rare cell types
    their distance from the others; the default sizes leave it out.
    """

    def __init__(self, n_latent: int, kind: Literal["none", "layer"]):
        super().__init__()
        self.ln = nn.LayerNorm(n_latent) if kind == "layer" else None

    def forward(self, cell: Tensor) -> Tensor:
        """Normalize ``(n, n_latent)``; a zero vector stays finite."""
        if self.ln is None:
            return cell
        return self.ln(F.normalize(cell, dim=-1, eps=1e-8))


class MLPEncoder(Encoder):
    """Two-layer perceptron on normalized features, beside a linear map of them.

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
        Normalization of the embedding.
    linear
        Whether a linear map is added, which begins at start values from data. Without it, a short
        training leaves the perceptron far behind principal components.
    """

    feature_axes: ClassVar[dict[str, int]] = {"first": 0, "linear": 0}
    input_tables = ("first", "linear")

    def __init__(
        self,
        n_features: int,
        n_latent: int,
        hidden: int,
        dropout: float,
        norm: Literal["none", "layer"],
        linear: bool = False,
    ):
        super().__init__()
        self.first = nn.Parameter(torch.randn(n_features, hidden) / hidden**0.5)
        last = nn.Linear(hidden, n_latent)
        self.rest = nn.Sequential(nn.LayerNorm(hidden), nn.GELU(), nn.Dropout(dropout), last)
        self.linear = self.bias = None
        if linear:
            self.linear = nn.Parameter(torch.zeros(n_features, n_latent))
            self.bias = nn.Parameter(torch.zeros(n_latent))
            last.weight.data.mul_(_SMALL)
            nn.init.zeros_(last.bias)
        self.norm = LatentNorm(n_latent, norm)

    def forward(self, features: SparseRows) -> Encoded:
        """Encode normalized rows."""
        cell = self.rest(sparse_linear(features, self.first))  # (n, n_latent)
        if self.linear is not None:
            cell = cell + sparse_linear(features, self.linear) + self.bias
        return Encoded(self.norm(cell), None)

    @torch.no_grad()
    def init_linear(self, weights: Tensor, bias: Tensor | None = None) -> None:
        """Start at a linear map from features, ``(n_features, k)`` and ``(k,)``."""
        if self.linear is None or self.bias is None:
            return
        k = weights.shape[1]
        self.linear[:, :k] = weights
        if bias is not None:
            self.bias[:k] = bias

    def slow_parameters(self) -> list[nn.Parameter]:
        """Return the linear map."""
        return [p for p in (self.linear, self.bias) if p is not None]

    def feature_table(self) -> Tensor:
        """Return the input weights, ``(n_features, hidden)``."""
        return self.first

    def trainable_layers(self) -> list[nn.Module]:
        """Return all layers behind the first one."""
        return self.last_layers()

    def last_layers(self) -> list[nn.Module]:
        """Return all layers behind the first one."""
        return [self.rest, self.norm]
