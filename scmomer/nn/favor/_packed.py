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
