"""Performer over expression tokens, under performer-pytorch's parameter names."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmomer.module.modalities.rna._config import RNAConfig
from scmomer.module.modalities.rna._tokens import ExpressionTokens
from scmomer.nn.favor import (
    BlockSetting,
    BlockWeights,
    FavorAttention,
    Packed,
    SoftmaxAttention,
    favor_block,
    fused_kernels,
)


class SelfAttention(nn.Module):
    """Multi-head self-attention whose inner width is ``heads * dim_head``."""

    def __init__(self, config: RNAConfig):
        super().__init__()
        inner = config.n_heads * config.dim_head
        self.heads = config.n_heads
        self.fast_attention: FavorAttention | SoftmaxAttention
        if config.attention == "softmax":
            self.fast_attention = SoftmaxAttention(config.dim_head)
        else:
            self.fast_attention = FavorAttention(
                config.dim_head, config.n_features, over_heads=config.stabilizer == "cell"
            )
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


# What follows, up to the Performer, only gives parameters their published names.


class _AttentionLayer(nn.Module):
    def __init__(self, config: RNAConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.dim)
        self.fn = SelfAttention(config)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return x + self.fn(self.norm(x), valid)


class _Chunked(nn.Module):
    def __init__(self, config: RNAConfig):
        super().__init__()
        self.fn = FeedForward(config.dim, config.ff_mult)


class _FeedForwardLayer(nn.Module):
    def __init__(self, config: RNAConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.dim)
        self.fn = _Chunked(config)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fn.fn(self.norm(x))


class _Block(nn.ModuleList):
    """Attention and feed-forward layer; FAVOR+ goes through :func:`favor_block`."""

    def __init__(self, config: RNAConfig):
        super().__init__([_AttentionLayer(config), _FeedForwardLayer(config)])

    def forward(self, x: Tensor, valid: Tensor, padded: bool) -> Tensor:
        attention, feed_forward = self._parts()
        favor = attention.fn.fast_attention
        if not isinstance(favor, FavorAttention):
            return feed_forward(attention(x, valid))
        setting = BlockSetting(attention.fn.heads, favor.over_heads, _narrow_type(x))
        mask = valid if padded else None
        return favor_block(x, mask, favor.projection_matrix, self._weights(), setting)

    def fuses(self, like: Tensor) -> bool:
        """Return whether fused kernels compute this block on the device of a tensor."""
        favor = self._parts()[0].fn.fast_attention
        if not isinstance(favor, FavorAttention):
            return False
        dim_head = favor.projection_matrix.shape[1]
        return fused_kernels(like, dim_head, _narrow_type(like)) is not None

    def forward_packed(self, x: Tensor, packed: Packed) -> Tensor:
        """Compute cells that are packed one behind the other, ``(n_tokens, dim)``."""
        attention = self._parts()[0]
        favor = cast(FavorAttention, attention.fn.fast_attention)
        narrow = _narrow_type(x)
        kernels = fused_kernels(x, favor.projection_matrix.shape[1], narrow)
        assert kernels is not None
        setting = BlockSetting(attention.fn.heads, favor.over_heads, narrow)
        return kernels(x, packed, favor.projection_matrix, self._weights(), setting)

    def _parts(self) -> tuple[_AttentionLayer, _FeedForwardLayer]:
        attention, feed_forward = self
        return cast(_AttentionLayer, attention), cast(_FeedForwardLayer, feed_forward)

    def _weights(self) -> BlockWeights:
        attention, feed_forward = self._parts()
        fn, net = attention.fn, feed_forward.fn.fn
        return BlockWeights(
            *(attention.norm.weight, attention.norm.bias),
            *(fn.to_q.weight, fn.to_k.weight, fn.to_v.weight, fn.to_out.weight, fn.to_out.bias),
            *(feed_forward.norm.weight, feed_forward.norm.bias),
            *(net.w1.weight, net.w1.bias, net.w2.weight, net.w2.bias),
        )


def _narrow_type(x: Tensor) -> torch.dtype:
    """Type in which FAVOR+ multiplies: bfloat16 only where it was asked for and is fast."""
    if x.is_cuda and torch.is_autocast_enabled("cuda"):
        asked = torch.get_autocast_dtype("cuda")
        return asked if asked == torch.bfloat16 else x.dtype  # float16 cannot hold the sums
    return x.dtype


class _Net(nn.Module):
    def __init__(self, config: RNAConfig):
        super().__init__()
        self.layers = nn.ModuleList([_Block(config) for _ in range(config.n_layers)])


class _Stack(nn.Module):
    def __init__(self, config: RNAConfig):
        super().__init__()
        self.net = _Net(config)


class _Positions(nn.Module):
    feature_axes: ClassVar[dict[str, int]] = {"emb.weight": 0}
    input_tables: ClassVar[tuple[str, ...]] = ("emb.weight",)

    def __init__(self, n_positions: int, dim: int):
        super().__init__()
        self.emb = nn.Embedding(n_positions, dim)


class Performer(nn.Module):
    """Token and gene embeddings, pre-norm Performer blocks, final layer norm.

    Reuses the published layout (scBERT, scMomer): ``token_emb``, ``pos_emb.emb``,
    ``performer.net.layers.{i}``, ``norm`` and the masked-modelling head ``to_out``, so that
    published tensors fit by name. New are padding and the per-cell stabiliser.
    """

    def __init__(self, n_genes: int, config: RNAConfig):
        super().__init__()
        self.mask_bin = config.n_bins + 1
        self.padded = config.tokens == "expressed"
        self.token_emb = nn.Embedding(config.n_bins + 2, config.dim)
        # One row more than genes: the published table ends in a row for an unused token.
        self.pos_emb = _Positions(n_genes + 1, config.dim)
        self.pos_emb.emb.weight.requires_grad_(not config.frozen_positions)
        self.performer = _Stack(config)
        self.norm = nn.LayerNorm(config.dim)
        self.to_out = nn.Linear(config.dim, config.n_bins + 2)
        for table in (self.token_emb, self.pos_emb.emb):
            nn.init.normal_(table.weight, std=0.5)

    def forward(self, tokens: ExpressionTokens) -> Tensor:
        """Return the contextual gene embeddings, shape ``(n, length, dim)``."""
        if self.fuses:
            return self._forward_packed(tokens)
        x = self.token_emb(tokens.bins) + self.pos_emb.emb(tokens.genes)  # (n, length, dim)
        if tokens.groups:
            x = torch.cat([self._group(x, tokens.valid, *group) for group in tokens.groups])
        else:
            x = self.blocks(x, tokens.valid)
        return self.norm(x)

    @property
    def fuses(self) -> bool:
        """Return whether fused kernels run on the device of the weights."""
        some = self.token_emb.weight
        blocks = cast("list[_Block]", list(self.performer.net.layers))
        return bool(blocks) and all(block.fuses(some) for block in blocks)

    def _forward_packed(self, tokens: ExpressionTokens) -> Tensor:
        """Compute tokens without padding, by kernels that need not be told where it is."""
        shape = tokens.bins.shape
        bins, genes = tokens.bins.flatten(), tokens.genes.flatten()
        packing = tokens.packing
        if packing is not None:
            bins, genes = bins[packing.places], genes[packing.places]
            starts = packing.starts.int()
        else:
            starts = torch.arange(shape[0] + 1, device=bins.device, dtype=torch.int32) * shape[1]
        x = self.token_emb(bins) + self.pos_emb.emb(genes)  # (n_tokens, dim)
        for block in self.performer.net.layers:
            x = cast(_Block, block).forward_packed(x, Packed(starts, shape[1]))
        x = self.norm(x)
        if packing is not None:
            x = x.new_zeros(shape.numel(), x.shape[1]).index_copy(0, packing.places, x)
        return x.view(*shape, -1)

    def blocks(self, x: Tensor, valid: Tensor) -> Tensor:
        """Map embedded tokens ``(n, length, dim)`` through all blocks, before the final norm."""
        for block in self.performer.net.layers:
            x = block(x, valid, self.padded)
        return x

    def _group(self, x: Tensor, valid: Tensor, start: int, stop: int, length: int) -> Tensor:
        """Compute some cells without the padding that only longer cells need."""
        part = x[start:stop, :length].contiguous()
        out = self.blocks(part, valid[start:stop, :length])
        return F.pad(out, (0, 0, 0, x.shape[1] - length))

    def bin_loss(self, hidden: Tensor, bins: Tensor, chosen: Tensor) -> Tensor:
        """Return the cross-entropy of the true `bins` at the `chosen` tokens (a scalar)."""
        logits = self.to_out(hidden)  # (n, length, n_bins + 2); picking tokens would wait
        losses = F.cross_entropy(logits.flatten(0, 1), bins.flatten(), reduction="none")
        return (losses * chosen.flatten()).sum() / chosen.sum().clamp_min(1)
