"""Cells packed one behind the other, without padding."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Packed(NamedTuple):
    """Where the cells of a packed batch lie."""

    starts: Tensor
    """First token of each cell, and the end, ``(n_cells + 1,)`` int32."""
    longest: int
    """Tokens of the longest cell, or more."""


class BytesPerToken(NamedTuple):
    """Memory of a block in fused kernels, in bfloat16."""

    stored: int
    """Between forward and backward pass."""
    passing: int
    """During the backward pass of one block."""


def fused_bytes_per_token(dim: int, inner: int, n_heads: int, ff_mult: int) -> BytesPerToken:
    """Return what a block needs for each token in training.

    Stored are its input, queries, keys, values, the attention, what it adds, and two numbers a
    head; further, in the backward pass, the hidden units twice, gradients and normed rows.

    Parameters
    ----------
    dim, inner, n_heads, ff_mult
        Width of the stream, of all heads, their number, hidden units for each of `dim`.
    """
    stored = 4 * dim + 2 * (4 * inner + dim) + 8 * n_heads
    return BytesPerToken(stored, 2 * (2 * ff_mult * dim + 5 * dim + 4 * inner) + 8 * dim)
