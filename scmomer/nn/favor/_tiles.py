"""Products on tiles of tokens, which keep the intermediates of long sequences in the cache.

*Narrow* tensors have the type of factors (float32, or bfloat16 under mixed precision), *wide* ones
the type of sums (float32 or float64).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

Tile = tuple[slice, slice]
# Products of bfloat16 with a float32 result, absent in older versions of torch.
_HAS_WIDE_RESULT = hasattr(torch.ops.aten.bmm, "dtype")


def tiles(n: int, length: int, size: int) -> Iterator[Tile]:
    """Cut `n` cells of `length` tokens into tiles of about `size` tokens each.

    A tile is contiguous in memory: some tokens of one cell, or all tokens of several cells. Tiles
    have nearly equal sizes. Within a cell these are multiples of 24 tokens, the width of the matrix
    kernels of most processors.
    """
    if length > size:
        step = -(-length // -(-length // size))
        step = -(-step // 24) * 24
        for cell in range(n):
            for start in range(0, length, step):
                yield slice(cell, cell + 1), slice(start, min(start + step, length))
    elif n:
        step = -(-n // -(-n // max(1, size // max(1, length))))
        for start in range(0, n, step):
            yield slice(start, min(start + step, n)), slice(0, length)


def tile_tokens(x: Tensor, tile: Tile) -> Tensor:
    """Return the tokens of a tile of ``(n, length, dim)`` as a view, ``(tokens, dim)``."""
    return x[tile].flatten(0, 1)


class Workspace:
    """Buffers shared by successive tiles, because allocation costs more than the arithmetic."""

    def __init__(self, like: Tensor):
        self._like = like
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return uninitialized memory, the same for every call with one `name`."""
        size = math.prod(shape)
        found = self._buffers.get(name)
        if found is None or found.numel() < size:
            found = self._like.new_empty(size, dtype=dtype)
            self._buffers[name] = found
        return found[:size].view(shape)


def wide_product(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Multiply narrow matrices, or batches of them, with a wide result."""
    if a.dtype != torch.bfloat16:
        return torch.matmul(a, b, out=out)
    if a.is_cuda and _HAS_WIDE_RESULT:  # accumulated and returned in float32
        product = torch.mm if a.dim() == 2 else torch.bmm
        return product(a, b, out_dtype=torch.float32, out=out)
    # Exact, because float32 holds all bfloat16 factors. Most processors lack instructions for
    # bfloat16 and are hundreds of times slower with it.
    return torch.matmul(a.float(), b.float(), out=out)


def narrow_product(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Multiply narrow matrices, or batches of them, with a narrow result."""
    if a.dtype == torch.bfloat16 and not a.is_cuda:
        return wide_product(a, b).to(a.dtype)
    return torch.matmul(a, b, out=out)


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add a product of narrow matrices, or batches of them, to a wide `total`, in place."""
    if a.dtype == torch.bfloat16:
        total += wide_product(a, b)
    elif a.dim() == 2:
        total.addmm_(a, b)
    else:
        total.baddbmm_(a, b)
