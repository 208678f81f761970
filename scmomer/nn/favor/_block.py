"""A Performer block as one operation: exact FAVOR+, streamed over tiles of tokens.

The feature maps of a sequence are 50 times larger than the sequence. Only those of one tile exist
at a time, in the cache. Keys come first: tiles are summed to ``phi(k)^T [v, 1]`` under a running
maximum. Then follow queries, attention and the feed-forward layer of each tile. The backward pass
keeps the block's input and the sums over keys, and recomputes the rest, tile by tile: training
stores one residual stream for each block. Results equal :class:`scmomer.nn.favor._attention.FavorAttention`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scmomer.nn.favor._streamed import BlockSetting, BlockWeights, Keys, Streamed
from scmomer.nn.favor._streamed_backward import StreamedBackward


class _BlockFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        valid: Tensor | None,
        projection: Tensor,
        setting: BlockSetting,
        *weights: Tensor,
    ) -> Tensor:
        block = Streamed(x, valid, projection, BlockWeights(*weights), setting)
        keys = block.keys(x)
        out = torch.empty_like(x)
        block.queries(x, keys, out)
        ctx.setting, ctx.valid = setting, valid
        ctx.save_for_backward(x, *keys, projection, *weights)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, top, context, projection, *weights = ctx.saved_tensors
        block = StreamedBackward(x, ctx.valid, projection, BlockWeights(*weights), ctx.setting)
        dx, *dweights = block.gradients(x, Keys(top, context), dy.contiguous())
        return dx, None, None, None, *dweights


def favor_block(
    x: Tensor,
    valid: Tensor | None,
    projection: Tensor,
    weights: BlockWeights,
    setting: BlockSetting,
) -> Tensor:
    """Return ``y + FF(LN(y))`` with ``y = x + Attention(LN(x))``.

    Parameters
    ----------
    x
        Tokens, ``(n, length, dim)``, contiguous. **Overwritten with the result when gradients
        are disabled.**
    valid
        True at tokens, false at padding, ``(n, length)``; None: no padding.
    projection
        Random features, ``(m, dim_head)``.
    weights, setting
        Parameters, and how to compute.
    """
    with torch.autocast(x.device.type, enabled=False):  # setting.dtype decides types here
        if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *weights)):
            return _BlockFunction.apply(x, valid, projection, setting, *weights)
        with torch.no_grad():
            block = Streamed(x, valid, projection, weights, setting)
            block.queries(x, block.keys(x), out=x)
        return x
