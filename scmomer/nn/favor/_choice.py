"""Which implementation computes a block."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor

from scmomer.nn._device import supports_triton
from scmomer.nn.favor._packed import Packed
from scmomer.nn.favor._streamed import BlockSetting, BlockWeights

FusedBlock = Callable[[Tensor, Packed, Tensor, BlockWeights, BlockSetting], Tensor]
_MOST_DIM = {torch.float32: 128, torch.bfloat16: 256, torch.float16: 256}  # fits on the chip
_MOST_DIM_HEAD = 128


def _interprets() -> bool:
    """Return whether Triton computes on the CPU, for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def fused_kernels(x: Tensor, dim_head: int, narrow: torch.dtype) -> FusedBlock | None:
    """Return the kernels that compute a block on packed cells, or None if there are none.

    They need a CUDA device with matrix units for bfloat16 and TF32 (compute capability 8.0, from
    2020 on), Triton, which comes with every CUDA build of torch for Linux, and weights that fit on
    the chip.

    Parameters
    ----------
    x
        A tensor like the tokens, ``(..., dim)``.
    dim_head
        Width of a head.
    narrow
        Type of products.
    """
    fits = x.shape[-1] <= _MOST_DIM.get(narrow, 0) and dim_head <= _MOST_DIM_HEAD
    if not fits or x.dtype != torch.float32:
        return None
    if not (_interprets() if x.device.type == "cpu" else supports_triton(x.device)):
        return None
    from scmomer.nn.favor.fused import fused_block

    return fused_block
