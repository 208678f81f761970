"""Which implementation computes a block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scmomer.nn._device import is_roomy, supports_triton
from scmomer.nn.favor._packed import Packed
from scmomer.nn.favor._streamed import BlockSetting, BlockWeights

FusedBlock = Callable[[Tensor, Packed, Tensor, BlockWeights, BlockSetting], Tensor]
# Width of the stream and of a head that fit on the chip, on data-center cards from Hopper on, and
# on others.
_MOST_ROOMY = {torch.float32: (128, 64), torch.bfloat16: (256, 128), torch.float16: (256, 128)}
_MOST = {torch.float32: (128, 32), torch.bfloat16: (128, 64)}
_interpreted = False  # tests set it, and Triton interprets the kernels on the CPU


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
    if not (_interpreted if x.device.type == "cpu" else supports_triton(x.device)):
        return None
    most = _MOST_ROOMY if is_roomy(x.device) else _MOST
    most_dim, most_head = most.get(narrow, (0, 0))
    if x.dtype != torch.float32 or x.shape[-1] > most_dim or dim_head > most_head:
        return None
    from scmomer.nn.favor.fused import fused_block

    return fused_block
