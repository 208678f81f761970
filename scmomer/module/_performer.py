"""Performer over expression tokens, under performer-pytorch's parameter names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmomer.module._attention import FavorAttention, SoftmaxAttention
from scmomer.module._config import RNAConfig
from scmomer.module._tokens import ExpressionTokens


class SelfAttention(nn.Module):
    """Multi-head self-attention whose inner width is ``heads * dim_head``."""

    def __init__(self, config: RNAConfig):
        super().__init__()
        inner = config.heads * config.dim_head
        self.heads = config.heads
        self.fast_attention: FavorAttention | SoftmaxAttention
        if config.attention == "favor":
            self.fast_attention = FavorAttention(config.dim_head, config.n_features)
        else:
            self.fast_attention = SoftmaxAttention(config.dim_head)
        self.to_q = nn.Linear(config.dim, inner, bias=False)
        self.to_k = nn.Linear(config.dim, inner, bias=False)
        self.to_v = nn.Linear(config.dim, inner, bias=False)
        self.to_out = nn.Linear(inner, config.dim)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Map ``(n, length, dim)`` to the same shape."""
        n, length, _ = x.shape
        q, k, v = (
            layer(x).view(n, length, self.heads, -1).transpose(1, 2)  # (n, h, length, dim_head)
            for layer in (self.to_q, self.to_k, self.to_v)
        )
        out = self.fast_attention(q, k, v, valid)  # (n, h, length, dim_head)
        return self.to_out(out.transpose(1, 2).reshape(n, length, -1))


class FeedForward(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, dim: int, mult: int):
        super().__init__()
        self.w1 = nn.Linear(dim, dim * mult)
        self.w2 = nn.Linear(dim * mult, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, length, dim)`` to the same shape."""
        return self.w2(F.gelu(self.w1(x)))


class _PreNorm(nn.Module):
    """Layer norm before a sublayer (`fn`), as performer-pytorch names it."""

    def __init__(self, dim: int, fn: nn.Module):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fn = fn


def _named(**children: nn.Module) -> nn.Module:
    """Return a module that only holds children: the levels of published parameter names."""
    parent = nn.Module()
    for name, child in children.items():
        parent.add_module(name, child)
    return parent


def _block(config: RNAConfig) -> nn.ModuleList:
    feed_forward = _named(fn=FeedForward(config.dim, config.ff_mult))
    return nn.ModuleList(
        [_PreNorm(config.dim, SelfAttention(config)), _PreNorm(config.dim, feed_forward)]
    )


class Performer(nn.Module):
    """Token and gene embeddings, pre-norm Performer blocks, final layer norm.

    Reuses the published layout (scBERT, scMomer): ``token_emb``, ``pos_emb.emb``,
    ``performer.net.layers.{i}``, ``norm`` and the masked-modelling head ``to_out``, so that
    published tensors fit by name. New are padding and the per-cell stabiliser.
    """

    def __init__(self, n_genes: int, config: RNAConfig):
        super().__init__()
        self.mask_bin = config.n_bins + 1
        self.token_emb = nn.Embedding(config.n_bins + 2, config.dim)
        # One row more than genes: the published table ends in a row for an unused token.
        self.pos_emb = _named(emb=nn.Embedding(n_genes + 1, config.dim))
        self.pos_emb.emb.weight.requires_grad_(not config.frozen_positions)
        blocks = nn.ModuleList([_block(config) for _ in range(config.depth)])
        self.performer = _named(net=_named(layers=blocks))
        self.norm = nn.LayerNorm(config.dim)
        self.to_out = nn.Linear(config.dim, config.n_bins + 2)
        for table in (self.token_emb, self.pos_emb.emb):
            nn.init.normal_(table.weight, std=0.5)

    def forward(self, tokens: ExpressionTokens) -> Tensor:
        """Return the contextual gene embeddings, shape ``(n, length, dim)``."""
        x = self.token_emb(tokens.bins) + self.pos_emb.emb(tokens.genes)  # (n, length, dim)
        for attention, feed_forward in self.performer.net.layers:
            x = x + attention.fn(attention.norm(x), tokens.valid)
            x = x + feed_forward.fn.fn(feed_forward.norm(x))
        return self.norm(x)

    def bin_loss(self, hidden: Tensor, bins: Tensor, chosen: Tensor) -> Tensor:
        """Return the cross-entropy of the true `bins` at the `chosen` tokens (a scalar)."""
        logits = self.to_out(hidden[chosen])  # (n_chosen, n_bins + 2)
        if not chosen.any():
            return logits.sum()
        return F.cross_entropy(logits, torch.as_tensor(bins[chosen]))
