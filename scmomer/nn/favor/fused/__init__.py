"""FAVOR+ blocks in fused GPU kernels (Triton)."""

from scmomer.nn.favor.fused._block import fused_block

__all__ = ["fused_block"]
