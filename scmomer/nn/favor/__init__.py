"""FAVOR+ attention: plain, streamed over tiles of tokens, and in fused kernels for GPUs."""

from scmomer.nn.favor._attention import FavorAttention, SoftmaxAttention
from scmomer.nn.favor._block import favor_block
from scmomer.nn.favor._choice import fused_kernels
from scmomer.nn.favor._packed import Packed, fused_bytes_per_token
from scmomer.nn.favor._streamed import BlockSetting, BlockWeights

__all__ = [
    "BlockSetting",
    "BlockWeights",
    "FavorAttention",
    "Packed",
    "SoftmaxAttention",
    "favor_block",
    "fused_bytes_per_token",
    "fused_kernels",
]
