"""The forward pass of a Performer block, tile by tile."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scmomer.nn.favor._attention import EPS
from scmomer.nn.favor._tiles import (
    Tile,
    Workspace,
    add_product,
    narrow_product,
    tile_tokens,
    tiles,
    wide_product,
)

# Feature-map entries in a tile. On a CPU they share the cache with the weights; on a GPU a tile has
# to fill the device.
_TILE_ENTRIES = {"cpu": 2**21, "cuda": 2**26}
_LOG2E = math.log2(math.e)
_MIN_PROJECTION = -1e30  # minus infinity would give NaN in differences


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
    """Settings of a block besides its parameters."""

    heads: int
    over_heads: bool
    """Whether the keys of all heads share one stabilizer."""
    dtype: torch.dtype
    """Type of narrow tensors."""
    tile: int | None = None
    """Tokens in a tile; None: by device."""


class Keys(NamedTuple):
    """What queries read of the keys."""

    top: Tensor  # largest projection: (n, heads, 1, 1)
    context: Tensor  # [v, 1]^T (phi(k) + eps): (n, heads, d + 1, m)


class Attention(NamedTuple):
    """Attention of the queries of a tile."""

    h: Tensor  # normed input: (t, dim)
    q: Tensor  # (b, d, l)
    phi: Tensor  # features of queries, without the constant: (b, m, l)
    attended: Tensor  # output of the heads: (b, d, l)
    denominator: Tensor  # (b, 1, l)


class Streamed:
    """Forward pass over one minibatch, ``(n, length, dim)``.

    Inside a tile, tensors have the shape ``(..., features, tokens)``: the long side of a tile is
    where matrix kernels are widest, and heads need no transposition. In shapes below, ``t`` is the
    number of tokens of a tile, ``b`` its cells times heads, ``l`` its tokens per cell.
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
        entries = _TILE_ENTRIES.get(x.device.type, _TILE_ENTRIES["cuda"])
        size = setting.tile or entries // (self.heads * self.m)
        self.tiles = list(tiles(x.shape[0], x.shape[1], size))
        # One copy per head and cell: broadcasting would copy in every product.
        b = self.heads * max((cells.stop - cells.start for cells, _ in self.tiles), default=0)
        self.features_t = features.T.to(narrow).repeat(b, 1, 1)  # (b, d, m)
        # exp(x) = exp2(x log2 e), and exp2 is faster.
        self.log2_features = (features * _LOG2E).to(narrow).repeat(b, 1, 1)
        self.work = Workspace(x)

    # -- pieces of a tile

    def _narrow(self, x: Tensor) -> Tensor:
        return x.to(self.setting.dtype)

    def _norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return layer norm ``(t, dim)``, mean and 1 / standard deviation, for the gradient."""
        return torch.native_layer_norm(x, (x.shape[-1],), weight, bias, 1e-5)

    def _linear(self, name: str, weight: Tensor, h: Tensor) -> Tensor:
        """Apply a linear map to ``(t, in)``; return ``(out, t)``, narrow."""
        return narrow_product(weight, h.T, self.work.take(name, len(weight), len(h), dtype=h.dtype))

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
        """Return where the tile has tokens, ``(b, 1, l)``, or None without padding."""
        if self.valid is None:
            return None
        return self.valid[tile].repeat_interleave(self.heads, 0)[:, None]

    def _part(self, keys: Tensor, tile: Tile) -> Tensor:
        """Return a tile's part of ``(n, heads, ...)`` as a view, ``(b, ...)``."""
        return keys[tile[0]].flatten(0, 1)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Project ``(b, d, l)`` on the features, ``(b, m, l)``; also return half squared norms.

        Both are multiplied by log2(e).
        """
        projected = self._wide("projected", self.log2_features[: len(x)], x)
        wide = x.to(projected.dtype)
        squared = torch.square(wide, out=self.work.take("squared", *x.shape))
        norm = squared.sum(-2, keepdim=True)  # (b, 1, l)
        return projected, norm.mul_(self.d**-0.5 / 2 * _LOG2E)

    # -- forward

    def _keys_and_values(self, h: Tensor, tile: Tile) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return keys and values, ``(b, d, l)``, and :meth:`_project` of the keys."""
        k, v = (self._split(x, tile) for x in self._linear("kv", self.kv, h).chunk(2))
        projected, norm = self._project(k)
        mask = self._mask(tile)
        if mask is not None:
            projected.masked_fill_(~mask, -torch.inf)  # features and their gradients: 0
            v = v * mask
        return k, v, projected, norm

    def keys(self, x: Tensor) -> Keys:
        """Sum keys and values over all tokens."""
        w, shape = self.weights, (self.n, self.heads)
        top = x.new_full((*shape, 1, 1), _MIN_PROJECTION)
        context, phi_sum = x.new_zeros(*shape, self.m, self.d), x.new_zeros(*shape, self.m, 1)
        total_v, count = x.new_zeros(*shape, 1, self.d), x.new_zeros(*shape, 1, 1)
        for tile in self.tiles:
            h = self._narrow(self._norm(tile_tokens(x, tile), w.norm1, w.norm1_bias)[0])
            _, v, projected, norm = self._keys_and_values(h, tile)
            old, tile_context, tile_phi_sum = (self._part(y, tile) for y in (top, context, phi_sum))
            new = projected.amax((-1, -2), keepdim=True)
            if self.setting.over_heads:
                new = new.unflatten(0, (-1, self.heads)).amax(1).repeat_interleave(self.heads, 0)
            new = torch.maximum(old, new)
            shrink = torch.exp2(old - new)  # sums so far used the old maximum
            old.copy_(new)
            phi = projected.sub_(norm.add_(new)).exp2_()
            tile_phi_sum.mul_(shrink).add_(phi.sum(-1, keepdim=True))
            add_product(tile_context.mul_(shrink), self._narrow(phi), v.mT)
            self._part(total_v, tile).add_(v.sum(-1, dtype=x.dtype)[:, None])
            mask = self._mask(tile)
            self._part(count, tile).add_(
                v.shape[-1] if mask is None else mask.sum(-1, keepdim=True)
            )
        context.add_(total_v, alpha=EPS)
        phi_sum.add_(count, alpha=EPS)
        return Keys(top, torch.cat([context, phi_sum], -1).mT.contiguous())

    def _query_features(self, q: Tensor) -> Tensor:
        """Return features of queries without the constant, ``(b, m, l)``."""
        projected, norm = self._project(q)
        return projected.sub_(norm.add_(projected.amax(-2, keepdim=True))).exp2_()

    def _attend(self, residual: Tensor, keys: Keys, tile: Tile) -> Attention:
        """Return the attention of a tile's queries; most of it is in shared buffers."""
        w = self.weights
        h = self._narrow(self._norm(residual, w.norm1, w.norm1_bias)[0])
        q = self._split(self._linear("q", self.q, h), tile)
        phi = self._query_features(q)
        context = self._narrow(self._part(keys.context, tile))
        summed = self._wide("summed", context, self._narrow(phi))  # (b, d + 1, l)
        summed += context.sum(-1, keepdim=True, dtype=summed.dtype).mul_(EPS)
        denominator = summed[:, self.d :]
        if self.valid is not None:
            denominator = denominator.clamp_min(1e-30)  # a cell without tokens
        attended = self.work.take("attended", len(q), self.d, q.shape[-1])
        torch.div(summed[:, : self.d], denominator, out=attended)
        return Attention(h, q, phi, attended, denominator)

    def _add_attended(self, residual: Tensor, attended: Tensor, tile: Tile, out: Tensor) -> Tensor:
        """Write the residual stream after attention, ``(t, dim)``, to `out`, and return it."""
        torch.add(residual, self.weights.out_bias, out=out)
        add_product(out, self._narrow(self._join(attended, tile)).T, self.out.T)
        return out

    def queries(self, x: Tensor, keys: Keys, out: Tensor) -> None:
        """Write the block's output, which may be `x`."""
        w = self.weights
        for tile in self.tiles:
            residual = tile_tokens(x, tile)
            attended = self._attend(residual, keys, tile).attended
            middle = self.work.take("middle", *residual.shape)
            y = self._add_attended(residual, attended, tile, middle)
            h = self._narrow(self._norm(y, w.norm2, w.norm2_bias)[0])
            hidden = self._wide("hidden", self.w1, h.T).add_(w.b1[:, None])  # (dim * ff_mult, t)
            hidden = self._narrow(torch.ops.aten.gelu_(hidden))
            y = torch.add(y, w.b2, out=tile_tokens(out, tile))
            add_product(y, hidden.T, self.w2.T)
