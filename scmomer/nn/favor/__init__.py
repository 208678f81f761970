"""FAVOR+ attention: plain, and streamed over tiles of tokens with its own backward pass."""

from scmomer.nn.favor._attention import FavorAttention, SoftmaxAttention
from scmomer.nn.favor._block import favor_block
from scmomer.nn.favor._streamed import BlockSetting, BlockWeights

__all__ = ["BlockSetting", "BlockWeights", "FavorAttention", "SoftmaxAttention", "favor_block"]
