"""A Performer block on packed tokens: dense products by cuBLAS, all else in fused kernels."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scmomer.nn._device import is_roomy
from scmomer.nn.favor._packed import Packed
from scmomer.nn.favor._streamed import BlockSetting, BlockWeights
from scmomer.nn.favor._tiles import narrow_product, wide_product
from scmomer.nn.favor.fused._launch import (
    Heads,
    KeySums,
    Read,
    Rows,
    Settings,
    settings,
)

_PARTS = 64  # into which a sum over tokens is cut, so that it fills a card


def token_product(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a.T @ b`` of narrow ``(n_tokens, i)`` and ``(n_tokens, j)``, wide."""
    n = len(a) // _PARTS * _PARTS
    total = wide_product(a[n:].T, b[n:])
    if n:
        parts = (x[:n].view(_PARTS, n // _PARTS, -1) for x in (a, b))
        left, right = parts
        total = total + wide_product(left.mT, right).sum(0)
    return total


class Saved(NamedTuple):
    """What the backward pass needs besides the input."""

    qkv: Tensor  # (n_tokens, 3 * inner), narrow
    added: Tensor  # what attention adds to the stream, without its bias: (n_tokens, dim), narrow
    top: Tensor
    key_sums: Tensor
    key_weights: Tensor
    key_plain: Tensor
    key_plain_weight: Tensor
    attended: Tensor
    query_top: Tensor
    denominator: Tensor

    @property
    def sums(self) -> KeySums:
        """Sums over keys."""
        return KeySums(*self[3:7])

    @property
    def read(self) -> Read:
        """What queries read."""
        return Read(*self[7:])


class FusedBlock:
    """One block with its weights in narrow types.

    Parameters
    ----------
    x
        Tokens, ``(n_tokens, dim)``.
    packed, projection, weights, setting
        As in :func:`fused_block`.
    """

    def __init__(
        self,
        x: Tensor,
        packed: Packed,
        projection: Tensor,
        weights: BlockWeights,
        setting: BlockSetting,
        blocks: Settings | None = None,
    ):
        narrow = setting.dtype
        self.over_heads = setting.over_heads
        self.weights = w = weights
        room = is_roomy(x.device)
        blocks = blocks or settings(x.shape[1], projection.shape[1], narrow, room)
        self.heads = Heads(projection, packed, setting.heads, narrow, blocks)
        self.rows = Rows(x.shape[1], len(w.w1), narrow, blocks)
        self.inner = len(w.q)
        self.qkv = torch.cat([w.q, w.k, w.v]).to(narrow)
        self.out, w1, w2 = (y.to(narrow) for y in (w.out, w.w1, w.w2))
        self.feed_forward = (w.out_bias, w.norm2, w.norm2_bias, w1, w.b1, w2, w.b2)

    def forward(self, x: Tensor, save: bool) -> tuple[Tensor, Saved]:
        """Return the output, and what the backward pass needs."""
        h = self.rows.norm(x, self.weights.norm1, self.weights.norm1_bias)
        qkv = narrow_product(h, self.qkv.T)
        q, k, v = qkv.split(self.inner, 1)
        sums, top = self.heads.sum_keys(k, v, self.over_heads)
        read = self.heads.read(q, sums, save)
        added = narrow_product(read.attended, self.out.T)
        out = self.rows.feed_forward(x, added, self.feed_forward)
        return out, Saved(qkv, added, top, *sums, *read)

    def backward(self, x: Tensor, saved: Saved, dout: Tensor) -> list[Tensor]:
        """Return the gradients of `x` and of the weights."""
        w, read, sums = self.weights, saved.read, saved.sums
        of = self.rows.feed_forward_backward(x, saved.added, self.feed_forward, dout)
        dw1, dw2 = token_product(of.dbefore, of.h), token_product(of.narrow_dout, of.hidden)
        of = of._replace(dbefore=of.db1, hidden=of.db1, h=of.db1)  # their memory is free again
        dattended = narrow_product(of.narrow_dy, self.out)
        dw_out = token_product(of.narrow_dy, read.attended)
        q, k, v = saved.qkv.split(self.inner, 1)
        dqkv = torch.empty_like(saved.qkv)
        dq, dk, dv = dqkv.split(self.inner, 1)
        self.heads.query_gradient(q, dattended, read, sums, dq)
        dsums = self.heads.sum_gradients(q, dattended, read)
        self.heads.key_gradient(k, v, saved.top, dsums, dk, dv)
        dh = narrow_product(dqkv, self.qkv)
        dx, h, dnorm1, dnorm1_bias = self.rows.norm_backward(x, dh, of.dy, w.norm1, w.norm1_bias)
        dw_q, dw_k, dw_v = token_product(dqkv, h).split(self.inner)
        grads = BlockWeights(
            *(dnorm1, dnorm1_bias, dw_q, dw_k, dw_v, dw_out, of.dadded_bias),
            *(of.dnorm, of.dnorm_bias, dw1, of.db1, dw2, of.db2),
        )
        return [dx, *grads]


class _FusedFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        packed: Packed,
        projection: Tensor,
        setting: BlockSetting,
        *weights: Tensor,
    ) -> Tensor:
        save = any(ctx.needs_input_grad)
        block = FusedBlock(x, packed, projection, BlockWeights(*weights), setting)
        out, saved = block.forward(x, save)
        if save:
            ctx.block = block  # with its weights in narrow types
            ctx.save_for_backward(x, *saved, *weights)  # weights: to notice changes
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        x, *rest = ctx.saved_tensors
        saved = Saved(*rest[: len(Saved._fields)])
        dx, *dweights = ctx.block.backward(x, saved, dout.contiguous())
        return dx, None, None, None, *dweights


def fused_block(
    x: Tensor,
    packed: Packed,
    projection: Tensor,
    weights: BlockWeights,
    setting: BlockSetting,
) -> Tensor:
    """Return ``y + FF(LN(y))`` with ``y = x + Attention(LN(x))`` on packed cells.

    Training keeps `x`, queries, keys, values and the attention, not the feature maps and the hidden
    units, which are computed again (:func:`scmomer.nn.favor.fused_bytes_per_token`).

    Parameters
    ----------
    x
        Tokens of all cells, one behind the other, ``(n_tokens, dim)`` float32, contiguous.
    packed
        Where cells begin.
    projection
        Random features, ``(m, dim_head)``.
    weights, setting
        Parameters, and how to compute.
    """
    with torch.autocast(x.device.type, enabled=False):  # setting.dtype decides types here
        return _FusedFunction.apply(x, packed, projection, setting, *weights)
