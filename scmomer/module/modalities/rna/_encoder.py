"""RNA encoder: from counts to one vector per cell and one per gene token."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmomer.module.modalities._encoders import (
    Encoded,
    Encoder,
    FeatureTokens,
    LatentNorm,
    last_third,
)
from scmomer.module.modalities.rna._config import RNAConfig
from scmomer.module.modalities.rna._performer import Performer
from scmomer.module.modalities.rna._tokens import (
    ExpressionTokens,
    log2_bins,
    mask_tokens,
    pad_all,
    pad_expressed,
    quantile_bins,
)
from scmomer.nn import SparseRows, csr_linear
from scmomer.nn.favor import fused_bytes_per_token

_OTHER_STREAMS = 5  # copies of the residual stream in training besides that of each block


class GenePooling(nn.Module):
    """Published pooling: each gene's embedding to a number, then a linear map over genes.

    With ``value_skip`` the number is added to the gene's own expression, so that the cell
    embedding starts as a linear map of expression and attention learns corrections to it.
    """

    feature_axes: ClassVar[dict[str, int]] = {"projection": 0}
    input_tables: ClassVar[tuple[str, ...]] = ("projection",)

    def __init__(self, n_genes: int, dim: int, n_latent: int, value_skip: bool):
        super().__init__()
        self.value_skip = value_skip
        self.conv1 = nn.Linear(dim, 1)  # the published Conv2d(1, 1, (1, dim))
        self.projection = nn.Parameter(torch.randn(n_genes, n_latent) / n_latent**0.5)
        self.bias = nn.Parameter(torch.zeros(n_latent)) if value_skip else None

    def forward(self, hidden: Tensor, tokens: ExpressionTokens) -> Tensor:
        """Pool ``(n, length, dim)`` to ``(n, n_latent)``."""
        weight = F.relu(self.conv1(hidden)[..., 0])  # (n, length)
        if self.value_skip:
            weight = weight + tokens.values
        weight = (weight * tokens.valid).to(self.projection.dtype)  # under mixed precision
        if tokens.packing is not None and weight.is_cuda:
            starts, places = tokens.packing
            genes, values = tokens.genes.flatten()[places], weight.flatten()[places]
            pooled = csr_linear(SparseRows(starts, genes, values), self.projection)
        else:
            pooled = F.embedding_bag(
                tokens.genes, self.projection, mode="sum", per_sample_weights=weight
            )
        return pooled if self.bias is None else pooled + self.bias


class MeanMaxPooling(nn.Module):
    """Mean and maximum of the token embeddings, side by side: an embedding without parameters."""

    def __init__(self, dim: int, n_latent: int):
        super().__init__()
        if n_latent != 2 * dim:
            msg = f"Expected n_latent of {2 * dim} for pooling 'mean_max', found {n_latent}."
            raise ValueError(msg)

    def forward(self, hidden: Tensor, tokens: ExpressionTokens) -> Tensor:
        """Pool ``(n, length, dim)`` to ``(n, 2 * dim)``; zeros for a cell without tokens."""
        keep = tokens.valid[..., None]  # (n, length, 1)
        mean = (hidden * keep).sum(1) / keep.sum(1).clamp_min(1)
        top = hidden.masked_fill(~keep, -torch.inf).amax(1)
        return torch.cat([mean, top.masked_fill(~keep.any(1), 0.0)], -1)


class PerformerEncoder(Encoder):
    """Tokens -> Performer -> pooling -> L2 norm -> layer norm."""

    has_gene_tokens = True

    def __init__(
        self,
        n_genes: int,
        config: RNAConfig,
        n_latent: int,
        latent_norm: Literal["none", "layer"],
    ):
        super().__init__()
        self.n_genes, self.config = n_genes, config
        self.model = Performer(n_genes, config)
        self.pool: GenePooling | MeanMaxPooling
        if config.pooling == "mean_max":
            self.pool = MeanMaxPooling(config.dim, n_latent)
        else:
            self.pool = GenePooling(n_genes, config.dim, n_latent, config.value_skip)
        self.norm = LatentNorm(n_latent, latent_norm)

    def tokenize(self, expression: SparseRows) -> ExpressionTokens:
        """Return the tokens of log-normalized expression."""
        if self.config.binning == "quantile":
            bins = quantile_bins(expression, self.config.n_bins)
        else:
            floor = self.config.binning == "log2_floor"
            bins = log2_bins(expression, self.config.n_bins, floor)
        if self.config.tokens == "all":
            return pad_all(expression, bins, self.n_genes)
        return pad_expressed(expression, bins)

    def _encode(self, tokens: ExpressionTokens) -> Encoded:
        hidden = self.model(tokens)  # (n, length, dim)
        return Encoded(self.norm(self.pool(hidden, tokens)), hidden)

    @torch.no_grad()
    def init_linear(self, weights: Tensor, bias: Tensor | None = None) -> None:
        """Start at a linear map from log expression, ``(n_genes, k)`` and ``(k,)``."""
        if isinstance(self.pool, GenePooling) and self.pool.value_skip:
            k = weights.shape[1]
            self.pool.projection.mul_(0.01)
            self.pool.projection[:, :k] = weights
            if bias is not None and self.pool.bias is not None:
                self.pool.bias[:k] = bias

    @torch.no_grad()
    def init_genes(self, profiles: Tensor) -> None:
        """Start the table of genes at profiles, ``(n_genes, up to dim)``, in its own spread."""
        table = self.model.pos_emb.emb.weight[: self.n_genes, : profiles.shape[1]]
        if profiles.any():
            table.copy_(profiles * (table.std() / profiles.std()))

    def forward(self, expression: SparseRows) -> Encoded:
        """Encode log-normalized expression."""
        return self._encode(self.tokenize(expression))

    def masked(self, expression: SparseRows, fraction: float) -> tuple[Encoded, Tensor]:
        """Encode with expressed genes hidden; the loss is the cross-entropy of their bins."""
        tokens = self.tokenize(expression)
        shown, chosen = mask_tokens(tokens, fraction, self.model.mask_bin)
        encoded = self._encode(shown)
        hidden = torch.as_tensor(encoded.tokens)
        return encoded, self.model.bin_loss(hidden, tokens.bins, chosen)

    def gene_tokens(self, features: SparseRows) -> FeatureTokens:
        """Return the last block's output for each expressed gene, after the final layer norm."""
        tokens = self.tokenize(features)
        expressed = tokens.valid & (tokens.values > 0)  # "all" has tokens of other genes too
        cells, places = expressed.nonzero(as_tuple=True)
        return FeatureTokens(cells, tokens.genes[cells, places], self.model(tokens)[cells, places])

    def feature_table(self) -> Tensor:
        """Return the table of gene embeddings that tokens begin with, ``(n_genes, dim)``."""
        return self.model.pos_emb.emb.weight[: self.n_genes]

    def slow_parameters(self) -> list[nn.Parameter]:
        """Return the linear map over genes."""
        if isinstance(self.pool, MeanMaxPooling):
            return []
        return [p for p in (self.pool.projection, self.pool.bias) if p is not None]

    def trainable_layers(self) -> list[nn.Module]:
        """Return the last block and the final norms."""
        return [self.model.performer.net.layers[-1], self.model.norm, self.norm]

    def last_layers(self) -> list[nn.Module]:
        """Return the last blocks, the final norms and the pooling, as published."""
        return [*last_third(self.model.performer.net.layers), self.model.norm, self.pool, self.norm]

    def n_tokens(self, lengths: np.ndarray) -> np.ndarray:
        """Return one token for each expressed gene, or for all genes."""
        return np.full_like(lengths, self.n_genes) if self.config.tokens == "all" else lengths

    def bytes_per_token(self) -> float:
        """Return residual streams: one for each block, and those of embedding, head and gradients.

        Fused kernels store what attention reads too, and softmax attention all intermediates.
        """
        c = self.config
        if self.model.fuses:
            block = fused_bytes_per_token(c.dim, c.n_heads * c.dim_head, c.n_heads, c.ff_mult)
            return c.n_layers * block.stored + block.passing + 4.0 * _OTHER_STREAMS * c.dim
        floats = (c.n_layers + _OTHER_STREAMS) * c.dim
        if c.attention == "softmax":
            inner = 5 * c.n_heads * c.dim_head  # queries, keys, values, output in two layouts
            floats += c.n_layers * (inner + (3 + 2 * c.ff_mult) * c.dim)
        return 4.0 * floats
