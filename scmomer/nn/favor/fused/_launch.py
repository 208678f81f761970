"""Launching the kernels: shapes, buffers and block sizes."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import triton
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from scmomer.nn.favor._packed import Packed
from scmomer.nn.favor.fused import _attention_kernels as attention
from scmomer.nn.favor.fused import _row_kernels as rows

_LOG2E = math.log2(math.e)
_NORM_EPS = 1e-5  # of layer norms
_PROGRAMS = 2048  # that a kernel should have at least, to fill a card
_SHORTEST_CHUNK = 512  # tokens
_MOST_INNER = 64  # features of a block of any attention kernel


class KeySums(NamedTuple):
    """Sums over the keys of each cell and head, or their gradients; rows are features."""

    sums: Tensor
    """``phi(k)^T v``, ``(n_cells, n_heads, rows, d)``, narrow; rows are filled up to a block."""
    weights: Tensor
    """Sum of ``phi(k)``, ``(n_cells, n_heads, rows)``."""
    plain: Tensor
    """`sums` over features, ``(n_cells, n_heads, d)``."""
    plain_weight: Tensor
    """`weights` over features, ``(n_cells, n_heads)``."""


class CombinedSums(NamedTuple):
    """Sums over all keys of a cell."""

    sums: KeySums
    top: Tensor
    """Stabilizers, ``(n_cells, n_heads)``; undefined for gradients."""


class Read(NamedTuple):
    """What queries read of the keys."""

    attended: Tensor
    """``(n_tokens, n_heads * d)``, narrow."""
    top: Tensor
    """Largest projection of each query, ``(n_tokens, n_heads)``; empty if not saved."""
    denominator: Tensor
    """``(n_tokens, n_heads)``; empty if not saved."""


class Blocks(NamedTuple):
    """Tile of a kernel, and how it runs."""

    tokens: int
    inner: int
    """Features, or hidden units."""
    warps: int
    stages: int


class Settings(NamedTuple):
    """Block sizes of all kernels."""

    sums: Blocks
    read: Blocks
    gradient: Blocks
    forward: Blocks
    backward: Blocks
    norm: Blocks = Blocks(32, 0, 4, 1)


def settings(dim: int, dim_head: int, dtype: torch.dtype, roomy: bool = True) -> Settings:
    """Return block sizes: measured on an H100, where the chip is `roomy`; others have to fit."""
    wide, big = dtype == torch.float32, dim > 128
    if wide:
        forward = Blocks(128, 32, 8, 2) if roomy else Blocks(64, 32, 8, 1)
        backward = Blocks(64, 32, 8, 1) if roomy else Blocks(32, 32, 4, 1)
    else:
        forward = Blocks(128, 64, 8, 1) if big else Blocks(64, 64, 4, 3)
        backward = Blocks(64, 32, 8, 2) if big else Blocks(64, 64, 4, 2)
    return Settings(
        sums=Blocks(64, 64, 4, 3),
        read=Blocks(128, 64, 8, 2) if wide else Blocks(64, 64, 4, 3),
        gradient=Blocks(64, 32, 4, 2) if wide else Blocks(128, 32, 4, 2),
        forward=forward,
        backward=backward,
    )


def _power_of_two(n: int, least: int = 16) -> int:
    return max(least, triton.next_power_of_2(n))


def _precision(dtype: torch.dtype) -> str:
    # Three products of TF32 are as exact as float32, on matrix units.
    return "tf32x3" if dtype == torch.float32 else "tf32"


_FEATURES = WeakTensorKeyDictionary()  # scaled_features of each projection


def scaled_features(projection: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the projections for unscaled queries and exponents in base 2, filled up to a block.

    They never change in training, so they are kept as long as `projection` is.
    """
    version, kept_type, kept = _FEATURES.get(projection, (-1, dtype, projection))
    if version == projection._version and kept_type == dtype:
        return kept
    m, d = projection.shape
    rows = math.ceil(m / _MOST_INNER) * _MOST_INNER
    features = projection.new_zeros(rows, d, dtype=dtype)
    features[:m] = projection * (d**-0.25 * _LOG2E)
    _FEATURES[projection] = (projection._version, dtype, features)
    return features


class Heads:
    """The attention kernels for heads of one width.

    Parameters
    ----------
    projection
        Random features, ``(m, dim_head)``.
    packed
        Where cells begin.
    n_heads
        Heads; queries, keys and values are ``(n_tokens, n_heads * dim_head)``.
    dtype
        Type of narrow tensors.
    blocks
        Block sizes.
    """

    def __init__(
        self, projection: Tensor, packed: Packed, n_heads: int, dtype: torch.dtype, blocks: Settings
    ):
        self.m, self.d = projection.shape
        self.packed, self.n_heads, self.dtype, self.blocks = packed, n_heads, dtype, blocks
        self.n_cells = len(packed.starts) - 1
        self.features = scaled_features(projection, dtype)
        self.rows = len(self.features)
        self._common = {
            "half_norm": self.d**-0.5 / 2 * _LOG2E,
            "M": self.m,
            "ROWS": self.rows,
            "D": self.d,
            "PRECISION": _precision(dtype),
            "BLOCK_D": _power_of_two(self.d),
        }

    def _options(self, blocks: Blocks) -> dict[str, object]:
        return {
            **self._common,
            "BLOCK_M": blocks.inner,
            "BLOCK_T": blocks.tokens,
            "num_warps": blocks.warps,
            "num_stages": blocks.stages,
        }

    def _chunks(self, n_blocks: int) -> tuple[int, int]:
        """Return into how many chunks each cell is cut, and their tokens."""
        longest, step = max(1, self.packed.longest), self.blocks.sums.tokens
        wanted = math.ceil(_PROGRAMS / max(1, self.n_cells * self.n_heads * n_blocks))
        n = min(wanted, math.ceil(longest / _SHORTEST_CHUNK))
        chunk = math.ceil(longest / n / step) * step
        return math.ceil(longest / chunk), chunk

    def _sum(self, x: Tensor, u: Tensor, read: Read | None) -> tuple[Tensor, ...]:
        """Return what ``sum_kernel`` writes, ``(n_cells, n_chunks, n_heads, ...)``."""
        blocks = self.blocks.sums
        n_blocks = -(-self.m // blocks.inner)
        n_chunks, chunk = self._chunks(n_blocks)
        shape = (self.n_cells, n_chunks, self.n_heads)

        def empty(*last: int) -> Tensor:
            return x.new_empty(*shape, *last, dtype=torch.float32)

        sums, weights, tops = empty(self.rows, self.d), empty(self.rows), empty(self.rows)
        plain, plain_weight = empty(self.d), empty()
        attended, top, denominator = (u, tops, tops) if read is None else read
        attention.sum_kernel[(max(1, math.prod(shape) * n_blocks),)](
            *(x, u, attended, top, denominator),
            *(self.packed.starts, self.features, sums, weights, tops, plain, plain_weight),
            *(self.n_heads, n_chunks, chunk),
            *(x.stride(0), u.stride(0), attended.stride(0)),
            GRADIENT=read is not None,
            **self._options(blocks),
        )
        return sums, weights, tops, plain, plain_weight

    def _combine(self, parts: tuple[Tensor, ...], keys: bool, over_heads: bool) -> CombinedSums:
        """Add the chunks of each cell."""
        sums = parts[0]
        shape = (self.n_cells, self.n_heads)

        def empty(*last: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return sums.new_empty(*shape, *last, dtype=dtype)

        out = KeySums(
            empty(self.rows, self.d, dtype=self.dtype), empty(self.rows), empty(self.d), empty()
        )
        top = empty()
        attention.combine_kernel[(max(1, math.prod(shape)),)](
            *(*parts, *out, top, self.n_heads, sums.shape[1]),
            M=self.m,
            ROWS=self.rows,
            D=self.d,
            RESCALE=keys,
            OVER_HEADS=over_heads,
            BLOCK_M=_MOST_INNER,
            BLOCK_D=_power_of_two(self.d),
        )
        return CombinedSums(out, top)

    def sum_keys(self, k: Tensor, v: Tensor, over_heads: bool) -> CombinedSums:
        """Return ``phi(k)^T [v, 1]`` and the stabilizers ``(n_cells, n_heads)``."""
        return self._combine(self._sum(k, v, None), True, over_heads)

    def sum_gradients(self, q: Tensor, dattended: Tensor, read: Read) -> KeySums:
        """Return the gradient of the sums over keys."""
        return self._combine(self._sum(q, dattended, read), False, False).sums

    def _n_tiles(self, blocks: Blocks) -> int:
        return max(1, -(-self.packed.longest // blocks.tokens))

    def _grid(self, blocks: Blocks) -> tuple[int]:
        return (max(1, self.n_cells * self._n_tiles(blocks) * self.n_heads),)

    def read(self, q: Tensor, sums: KeySums, save: bool) -> Read:
        """Let queries read the sums over keys; to `save`, what gradients need too."""
        blocks = self.blocks.read
        out = q.new_empty(len(q), self.n_heads * self.d)
        top = q.new_empty(len(q) if save else 0, self.n_heads, dtype=torch.float32)
        denominator = torch.empty_like(top)
        attention.read_kernel[self._grid(blocks)](
            *(q, *sums, self.packed.starts, self.features, out, top, denominator),
            *(self.n_heads, self._n_tiles(blocks), q.stride(0), out.stride(0)),
            SAVE=save,
            **self._options(blocks),
        )
        return Read(out, top, denominator)

    def _gradient(
        self, x: Tensor, u: Tensor, read: Read, sums: KeySums, dx: Tensor, du: Tensor, queries: bool
    ) -> None:
        blocks = self.blocks.gradient
        attention.gradient_kernel[self._grid(blocks)](
            *(x, u, *read, sums.sums, sums.weights, sums.plain),
            *(self.packed.starts, self.features, dx, du),
            *(self.n_heads, self._n_tiles(blocks)),
            *(x.stride(0), u.stride(0), read.attended.stride(0), dx.stride(0)),
            log2e=_LOG2E,
            QUERIES=queries,
            **self._options(blocks),
        )

    def query_gradient(
        self, q: Tensor, dattended: Tensor, read: Read, sums: KeySums, dq: Tensor
    ) -> None:
        """Write the gradient of queries to `dq`, ``(n_tokens, n_heads * d)``."""
        self._gradient(q, dattended, read, sums, dq, dq, True)

    def key_gradient(
        self, k: Tensor, v: Tensor, top: Tensor, dsums: KeySums, dk: Tensor, dv: Tensor
    ) -> None:
        """Write the gradients of keys and values to `dk` and `dv`, ``(n_tokens, n_heads * d)``."""
        self._gradient(k, v, Read(v, top, top), dsums, dk, dv, False)


class ForwardGradients(NamedTuple):
    """What the backward pass of a feed-forward layer gives."""

    dy: Tensor
    """Of the stream after attention, ``(n_tokens, dim)``."""
    narrow_dy: Tensor
    h: Tensor
    """Normed rows, ``(n_tokens, dim)``, narrow."""
    hidden: Tensor
    """Hidden units, ``(n_tokens, hidden)``, narrow."""
    dbefore: Tensor
    """Before their activation, likewise."""
    narrow_dout: Tensor
    dnorm: Tensor
    dnorm_bias: Tensor
    db2: Tensor
    dadded_bias: Tensor
    db1: Tensor


class Rows:
    """The kernels on rows of the residual stream, ``(n_tokens, dim)``.

    Parameters
    ----------
    dim, hidden
        Width of the stream and of the feed-forward layer.
    dtype
        Type of narrow tensors.
    blocks
        Block sizes.
    """

    def __init__(self, dim: int, hidden: int, dtype: torch.dtype, blocks: Settings):
        self.dim, self.hidden, self.dtype, self.blocks = dim, hidden, dtype, blocks
        self._common = {"eps": _NORM_EPS, "DIM": dim, "BLOCK_DIM": _power_of_two(dim)}

    def norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the layer norm, narrow."""
        blocks = self.blocks.norm
        out = torch.empty_like(x, dtype=self.dtype)
        rows.norm_kernel[(max(1, -(-len(x) // blocks.tokens)),)](
            *(x, weight, bias, out, len(x)),
            **self._common,
            BLOCK_T=blocks.tokens,
            num_warps=blocks.warps,
        )
        return out

    def norm_backward(
        self, x: Tensor, dh: Tensor, residual: Tensor, weight: Tensor, bias: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the gradient of `x`, with that of the stream, the layer norm, and its gradients."""
        blocks = self.blocks.norm
        dx, h = torch.empty_like(residual), torch.empty_like(x, dtype=self.dtype)
        tiles = max(1, -(-len(x) // (blocks.tokens * _PROGRAMS)))
        n = max(1, -(-len(x) // (blocks.tokens * tiles)))
        sums = x.new_empty(n, 2 * self.dim, dtype=torch.float32)
        rows.norm_backward_kernel[(n,)](
            *(x, dh, residual, weight, bias, dx, h, sums, len(x), tiles),
            **self._common,
            BLOCK_T=blocks.tokens,
            num_warps=blocks.warps,
        )
        return dx, h, *sums.sum(0).split(self.dim)

    def _options(self, blocks: Blocks) -> dict[str, object]:
        return {
            **self._common,
            "FF": self.hidden,
            "PRECISION": _precision(self.dtype),
            "EXACT": self.dtype == torch.float32,
            "BLOCK_FF": blocks.inner,
            "BLOCK_T": blocks.tokens,
            "num_warps": blocks.warps,
            "num_stages": blocks.stages,
        }

    def feed_forward(self, x: Tensor, added: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Return the stream after the feed-forward layer.

        Parameters
        ----------
        x, added
            Stream before attention, and what attention adds without its bias.
        weights
            Bias of attention, norm and bias, ``w1``, ``b1``, ``w2``, ``b2``.
        """
        blocks = self.blocks.forward
        out = torch.empty_like(x)
        rows.feed_forward_kernel[(max(1, -(-len(x) // blocks.tokens)),)](
            *(x, added, *weights, out, len(x)), **self._options(blocks)
        )
        return out

    def feed_forward_backward(
        self, x: Tensor, added: Tensor, weights: tuple[Tensor, ...], dout: Tensor
    ) -> ForwardGradients:
        """Return the gradient of the stream after attention, and what those of weights need."""
        blocks, n = self.blocks.backward, len(x)
        h, narrow_dout, narrow_dy = (torch.empty_like(x, dtype=self.dtype) for _ in range(3))
        hidden, dbefore = x.new_empty(2, n, self.hidden, dtype=self.dtype)
        dy = torch.empty_like(dout)
        programs = max(1, -(-n // blocks.tokens))
        sums = x.new_empty(programs, 4 * self.dim + self.hidden, dtype=torch.float32)
        rows.feed_forward_backward_kernel[(programs,)](
            *(x, added, *weights[:-1], dout, h, hidden, dbefore),
            *(narrow_dout, dy, narrow_dy, sums, n),
            **self._options(blocks),
        )
        parts = sums.sum(0).split([self.dim] * 4 + [self.hidden])
        return ForwardGradients(dy, narrow_dy, h, hidden, dbefore, narrow_dout, *parts)
