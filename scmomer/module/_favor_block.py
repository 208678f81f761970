"""A Performer block as one operation: exact FAVOR+, streamed over tiles of tokens.

The feature maps of a sequence are 50 times larger than the sequence and would each travel
through memory many times; here those of one tile at a time exist, in the cache. Keys come first,
tile by tile into ``phi(k)^T [v, 1]``, under a running maximum; then queries, attention's output
and the feed-forward layer of a tile. The backward pass keeps the block's input and the middle of
its residual stream and computes the rest again, so that training needs hardly more memory than
inference. Numbers equal :func:`scmomer.module._attention.favor_attention`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scmomer.module._attention import EPS
from scmomer.module._tiles import (
    Tile,
    Workspace,
    add_product,
    narrow_product,
    tiles,
    tokens_of,
    wide_product,
)

# Feature-map entries in a tile. On a CPU a tile's maps share the cache with the weights; on a
# GPU a tile has to fill the chip.
_TILE = {"cpu": 2**21, "cuda": 2**26}
_LOG2E = math.log2(math.e)
_LOWEST = -1e30  # below every projection; minus infinity would give nan in differences


class BlockWeights(NamedTuple):
    """Parameters of a block; linear maps as ``(out, in)``."""

    norm1: Tensor
    norm1_bias: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    out: Tensor
    out_bias: Tensor
    norm2: Tensor
    norm2_bias: Tensor
    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor


class BlockSetting(NamedTuple):
    """What a block needs beside its parameters."""

    heads: int
    over_heads: bool
    """Whether the keys of all heads share one stabiliser."""
    dtype: torch.dtype
    """Type of narrow tensors."""
    tile: int | None = None
    """Tokens in a tile; None: by device."""


class _Keys(NamedTuple):
    """What queries need to know of the keys."""

    top: Tensor  # largest projection: (n, heads, 1, 1)
    context: Tensor  # [v, 1]^T (phi(k) + eps): (n, heads, d + 1, m)


class _Block:
    """Forward and backward passes over one minibatch, ``(n, length, dim)``.

    Inside a tile everything lies feature by feature, ``(..., features, tokens)``: products have
    the long side of a tile where matrix kernels are widest, and heads need no transposition.
    In shapes below, ``t`` is tokens of a tile, ``b`` its cells times heads, ``l`` its tokens of
    one cell.
    """

    def __init__(
        self,
        x: Tensor,
        valid: Tensor | None,
        projection: Tensor,
        weights: BlockWeights,
        setting: BlockSetting,
    ):
        self.valid, self.weights, self.setting = valid, weights, setting
        self.n, self.heads = len(x), setting.heads
        self.m, self.d = projection.shape
        narrow = setting.dtype
        features = projection * self.d**-0.25  # (m, d)
        self.q = weights.q.to(narrow)
        self.kv = torch.cat([weights.k, weights.v]).to(narrow)
        self.out, self.w1, self.w2 = (w.to(narrow) for w in (weights.out, weights.w1, weights.w2))
        entries = _TILE.get(x.device.type, _TILE["cuda"])
        self.tiles = list(tiles(*x.shape[:2], setting.tile or entries // (self.heads * self.m)))
        # One copy for each head of each cell: products broadcast by copying every time.
        b = self.heads * max(cells.stop - cells.start for cells, _ in self.tiles)
        self.features = features.to(narrow).repeat(b, 1, 1)  # (b, m, d)
        # exp(x) = exp2(x log2 e), and exp2 is the faster.
        self.log2_features = (features * _LOG2E).to(narrow).repeat(b, 1, 1)
        self.work = Workspace(x)

    # -- pieces of a tile

    def _narrow(self, x: Tensor) -> Tensor:
        return x.to(self.setting.dtype)

    def _norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Layer norm with what its gradient needs: ``(t, dim)``, mean, 1 / deviation."""
        return torch.native_layer_norm(x, (x.shape[-1],), weight, bias, 1e-5)

    def _linear(self, name: str, weight: Tensor, h: Tensor) -> Tensor:
        """Apply a linear map to ``(t, in)``; ``(out, t)``, narrow."""
        return narrow_product(
            weight, h.T, self.work.take(name, len(weight), len(h), dtype=h.dtype)
        )

    def _wide(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        return wide_product(a, b, self.work.take(name, *a.shape[:-1], b.shape[-1]))

    def _split(self, x: Tensor, tile: Tile) -> Tensor:
        """``(heads * d, t)`` -> ``(b, d, l)``; a view if the tile is of one cell."""
        cells, tokens = tile
        x = x.view(self.heads, self.d, cells.stop - cells.start, tokens.stop - tokens.start)
        return x.permute(2, 0, 1, 3).flatten(0, 1)

    def _join(self, x: Tensor, tile: Tile) -> Tensor:
        """``(b, d, l)`` -> ``(heads * d, t)``; a view if the tile is of one cell."""
        cells, _ = tile
        x = x.unflatten(0, (cells.stop - cells.start, self.heads))
        return x.permute(1, 2, 0, 3).flatten(2).flatten(0, 1)

    def _mask(self, tile: Tile) -> Tensor | None:
        """Return where the tile has tokens, ``(b, 1, l)``."""
        if self.valid is None:
            return None
        return self.valid[tile].repeat_interleave(self.heads, 0)[:, None]

    def _of(self, keys: Tensor, tile: Tile) -> Tensor:
        """Return a tile's part of ``(n, heads, ...)`` as a view, ``(b, ...)``."""
        return keys[tile[0]].flatten(0, 1)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Projections of ``(b, d, l)`` on the features, ``(b, m, l)``, and half squared norms.

        Both times log2(e).
        """
        projected = self._wide("projected", self.log2_features[: len(x)], x)
        squared = torch.square(x, out=self.work.take("squared", *x.shape, dtype=x.dtype))
        norm = squared.sum(-2, keepdim=True, dtype=projected.dtype)  # (b, 1, l)
        return projected, norm.mul_(self.d**-0.5 / 2 * _LOG2E)

    # -- forward

    def _keys_and_values(self, h: Tensor, tile: Tile) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Keys and values, ``(b, d, l)``, and what :meth:`_project` says of the keys."""
        k, v = (self._split(x, tile) for x in self._linear("kv", self.kv, h).chunk(2))
        projected, norm = self._project(k)
        mask = self._mask(tile)
        if mask is not None:
            projected.masked_fill_(~mask, -torch.inf)  # features and their gradients: 0
            v = v * mask
        return k, v, projected, norm

    def keys(self, x: Tensor) -> _Keys:
        """Sum up keys and values of all tokens."""
        w, of_heads = self.weights, (self.n, self.heads)
        top = x.new_full((*of_heads, 1, 1), _LOWEST)
        context, below = x.new_zeros(*of_heads, self.m, self.d), x.new_zeros(*of_heads, self.m, 1)
        total_v, count = x.new_zeros(*of_heads, 1, self.d), x.new_zeros(*of_heads, 1, 1)
        for tile in self.tiles:
            h = self._narrow(self._norm(tokens_of(x, tile), w.norm1, w.norm1_bias)[0])
            _, v, projected, norm = self._keys_and_values(h, tile)
            old, summed, summed_phi = (self._of(y, tile) for y in (top, context, below))
            new = projected.amax((-1, -2), keepdim=True)
            if self.setting.over_heads:
                new = new.unflatten(0, (-1, self.heads)).amax(1).repeat_interleave(self.heads, 0)
            new = torch.maximum(old, new)
            shrink = torch.exp2(old - new)  # what is there was summed up under the old maximum
            old.copy_(new)
            phi = projected.sub_(norm.add_(new)).exp2_()
            summed_phi.mul_(shrink).add_(phi.sum(-1, keepdim=True))
            add_product(summed.mul_(shrink), self._narrow(phi), v.mT)
            self._of(total_v, tile).add_(v.sum(-1, dtype=x.dtype)[:, None])
            mask = self._mask(tile)
            self._of(count, tile).add_(v.shape[-1] if mask is None else mask.sum(-1, keepdim=True))
        context.add_(total_v, alpha=EPS)
        below.add_(count, alpha=EPS)
        return _Keys(top, torch.cat([context, below], -1).mT.contiguous())

    def _attend(self, q: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of queries, attention's output and its denominator, ``(b, ..., l)``."""
        projected, norm = self._project(q)
        phi = projected.sub_(norm.add_(projected.amax(-2, keepdim=True))).exp2_()
        summed = self._wide("summed", context, self._narrow(phi))  # (b, d + 1, l)
        summed += context.sum(-1, keepdim=True, dtype=summed.dtype).mul_(EPS)
        below = summed[:, self.d :]
        if self.valid is not None:
            below = below.clamp_min(1e-30)  # a cell without tokens
        attended = self.work.take("attended", len(q), self.d, q.shape[-1])
        return phi, torch.div(summed[:, : self.d], below, out=attended), below

    def queries(self, x: Tensor, keys: _Keys, out: Tensor, middle: Tensor) -> None:
        """Write the residual after attention and the block's output; both may be `x`."""
        w = self.weights
        for tile in self.tiles:
            residual = tokens_of(x, tile)
            h = self._narrow(self._norm(residual, w.norm1, w.norm1_bias)[0])
            q = self._split(self._linear("q", self.q, h), tile)
            attended = self._attend(q, self._narrow(self._of(keys.context, tile)))[1]
            y = torch.add(residual, w.out_bias, out=tokens_of(middle, tile))  # (t, dim)
            add_product(y, self._narrow(self._join(attended, tile)).T, self.out.T)
            h = self._narrow(self._norm(y, w.norm2, w.norm2_bias)[0])
            hidden = self._wide("hidden", self.w1, h.T).add_(w.b1[:, None])  # (dim * ff_mult, t)
            hidden = self._narrow(torch.ops.aten.gelu_(hidden))
            y = torch.add(y, w.b2, out=tokens_of(out, tile))
            add_product(y, hidden.T, self.w2.T)

    # -- backward

    def backward(self, x: Tensor, middle: Tensor, keys: _Keys, dy: Tensor) -> list[Tensor]:
        """Return the gradients of `x` and of the parameters, from that of the output."""
        grads = BlockWeights(*(torch.zeros_like(w) for w in self.weights))
        dx = torch.empty_like(x)
        dh = torch.empty_like(x)  # of the input of queries, keys and values
        of_heads = (self.n, self.heads, self.m)
        dcontext, dbelow = x.new_zeros(*of_heads, self.d), x.new_zeros(*of_heads, 1)
        for tile in self.tiles:
            dmiddle = self._feed_forward_backward(middle, dy, tile, grads, tokens_of(dx, tile))
            dkeys = self._of(dcontext, tile), self._of(dbelow, tile)
            self._queries_backward(x, keys, dmiddle, tile, grads, dkeys, tokens_of(dh, tile))
        dkv = torch.zeros_like(self.kv, dtype=x.dtype)
        dcontext = self._narrow(dcontext)
        for tile in self.tiles:
            dkeys = self._of(dcontext, tile), self._of(dbelow, tile)
            self._keys_backward(x, keys, dkeys, tile, grads, dkv, dh, tokens_of(dx, tile))
        grads.k.copy_(dkv[: len(grads.k)])
        grads.v.copy_(dkv[len(grads.k) :])
        return [dx, *grads]

    def _feed_forward_backward(
        self, middle: Tensor, dy: Tensor, tile: Tile, grads: BlockWeights, dx: Tensor
    ) -> Tensor:
        """Write the gradient of the middle of the residual stream, ``(t, dim)``, to `dx`."""
        w, residual, dy = self.weights, tokens_of(middle, tile), tokens_of(dy, tile)
        h, *moments = self._norm(residual, w.norm2, w.norm2_bias)
        h, d = self._narrow(h), self._narrow(dy)
        before = self._wide("before", self.w1, h.T).add_(w.b1[:, None])  # (dim * ff_mult, t)
        hidden = self.work.take("hidden", *before.shape)
        torch.ops.aten.gelu.out(before, out=hidden)
        add_product(grads.w2, d.T, self._narrow(hidden).T)
        grads.b2.add_(dy.sum(0))
        dhidden = self._wide("dhidden", self.w2.T, d.T)
        dbefore = torch.ops.aten.gelu_backward.grad_input(dhidden, before, grad_input=hidden)
        grads.b1.add_(dbefore.sum(1))
        dbefore = self._narrow(dbefore)
        add_product(grads.w1, dbefore, h)
        dh = self._wide("dh", dbefore.T, self.w1)
        dx_norm = self._norm_backward(dh, residual, moments, w.norm2, grads.norm2, grads.norm2_bias)
        return torch.add(dx_norm, dy, out=dx)

    def _norm_backward(
        self,
        dh: Tensor,
        x: Tensor,
        moments: list[Tensor],
        weight: Tensor,
        dweight: Tensor,
        dbias: Tensor,
    ) -> Tensor:
        dx, dw, db = torch.ops.aten.native_layer_norm_backward(
            dh, x, (x.shape[-1],), *moments, weight, dbias, [True, True, True]
        )
        dweight.add_(dw)
        dbias.add_(db)
        return dx

    def _features_backward(self, dphi: Tensor, phi: Tensor, x: Tensor) -> Tensor:
        """Gradient of queries or keys ``(b, d, l)``; the stabiliser counts as a constant."""
        dprojected = dphi.mul_(phi)
        norm = dprojected.sum(-2, keepdim=True)
        dx = self._wide("dx", self.features[: len(x)].mT, self._narrow(dprojected))
        return dx.addcmul_(x.to(dx.dtype), norm, value=-(self.d**-0.5))

    def _queries_backward(
        self,
        x: Tensor,
        keys: _Keys,
        dmiddle: Tensor,
        tile: Tile,
        grads: BlockWeights,
        dkeys: tuple[Tensor, Tensor],
        dh: Tensor,
    ) -> None:
        w, context = self.weights, self._narrow(self._of(keys.context, tile))
        h = self._narrow(self._norm(tokens_of(x, tile), w.norm1, w.norm1_bias)[0])
        q = self._split(self._linear("q", self.q, h), tile)
        phi, attended, below = self._attend(q, context)
        d = self._narrow(dmiddle)
        add_product(grads.out, d.T, self._narrow(self._join(attended, tile)).T)
        grads.out_bias.add_(dmiddle.sum(0))
        dattended = self._split(self._wide("dattended", self.out.T, d.T), tile)  # (b, d, l)
        above = torch.div(dattended, below, out=self.work.take("above", *dattended.shape))
        products = torch.mul(above, attended, out=self.work.take("products", *above.shape))
        dbelow = products.sum(-2, keepdim=True).neg_()  # (b, 1, l)
        above = self._narrow(above)
        dphi = self.work.take("dphi", *phi.shape)  # first for the sum over tokens
        dkeys[1].add_(torch.mul(phi, dbelow, out=dphi).sum(-1, keepdim=True))
        dkeys[1].add_(dbelow.sum(-1, keepdim=True), alpha=EPS)
        add_product(dkeys[0], self._narrow(phi), above.mT)
        dkeys[0].add_(above.sum(-1, dtype=phi.dtype)[:, None], alpha=EPS)
        dphi = self._wide("dphi", context[:, : self.d].mT, above)  # (b, m, l)
        dphi.addcmul_(context[:, self.d :].mT, dbelow)
        dq = self._narrow(self._join(self._features_backward(dphi, phi, q), tile))
        add_product(grads.q, dq, h)
        wide_product(dq.T, self.q, out=dh)

    def _keys_backward(
        self,
        x: Tensor,
        keys: _Keys,
        dkeys: tuple[Tensor, Tensor],
        tile: Tile,
        grads: BlockWeights,
        dkv: Tensor,
        dh: Tensor,
        dx: Tensor,
    ) -> None:
        w, residual = self.weights, tokens_of(x, tile)
        h, *moments = self._norm(residual, w.norm1, w.norm1_bias)
        h, (above, below) = self._narrow(h), dkeys  # (b, m, d), (b, m, 1)
        k, v, projected, norm = self._keys_and_values(h, tile)
        phi = projected.sub_(norm.add_(self._of(keys.top, tile))).exp2_()
        dv = self._wide("dv", above.mT, self._narrow(phi))
        dv.add_(above.sum(-2, dtype=dv.dtype)[..., None], alpha=EPS)
        if (mask := self._mask(tile)) is not None:
            dv *= mask
        dphi = self._wide("dphi", above, v).add_(below)
        dk = self._features_backward(dphi, phi, k)
        d = self.work.take("dkv", len(dkv), len(h))
        torch.cat([self._join(dk, tile), self._join(dv, tile)], out=d)
        d = self._narrow(d)
        add_product(dkv, d, h)
        dh = tokens_of(dh, tile).add_(self._wide("dh", d.T, self.kv))
        dx += self._norm_backward(dh, residual, moments, w.norm1, grads.norm1, grads.norm1_bias)


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
        block = _Block(x, valid, projection, BlockWeights(*weights), setting)
        keys = block.keys(x)
        middle, out = torch.empty_like(x), torch.empty_like(x)
        block.queries(x, keys, out, middle)
        ctx.setting, ctx.valid = setting, valid
        ctx.save_for_backward(x, middle, *keys, projection, *weights)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, middle, top, context, projection, *weights = ctx.saved_tensors
        block = _Block(x, ctx.valid, projection, BlockWeights(*weights), ctx.setting)
        dx, *dweights = block.backward(x, middle, _Keys(top, context), dy.contiguous())
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
        The parameters and how to compute.
    """
    with torch.autocast(x.device.type, enabled=False):  # types are settled here
        if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *weights)):
            return _BlockFunction.apply(x, valid, projection, setting, *weights)
        with torch.no_grad():
            block = _Block(x, valid, projection, weights, setting)
            block.queries(x, block.keys(x), out=x, middle=x)
        return x
