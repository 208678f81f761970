"""FAVOR+ blocks in fused GPU kernels (Triton)."""

from scmomer.nn.favor.fused._block import bytes_per_token, fused_block

__all__ = ["bytes_per_token", "fused_block"]
