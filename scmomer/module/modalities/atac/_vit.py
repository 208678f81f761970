"""Vision transformer blocks in the layout of the published ATAC encoder (pre-norm, exact)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmomer.module.modalities.atac._config import ATACConfig

_LN_EPS = 1e-12  # as published


class ViTBlock(nn.Module):
    """Layer norm, self-attention, layer norm, two-layer perceptron, each with a residual."""

    def __init__(self, config: ATACConfig):
        super().__init__()
        dim = config.dim
        self.heads = config.n_heads
        self.layernorm_before = nn.LayerNorm(dim, eps=_LN_EPS)
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.output = nn.Linear(dim, dim)
        self.layernorm_after = nn.LayerNorm(dim, eps=_LN_EPS)
        self.intermediate = nn.Linear(dim, config.mlp_dim)
        self.dense = nn.Linear(config.mlp_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, length, dim)`` to the same shape."""
        n, length, dim = x.shape
        y = self.layernorm_before(x)
        q, k, v = (
            layer(y).view(n, length, self.heads, -1).transpose(1, 2)  # (n, h, length, dim / h)
            for layer in (self.query, self.key, self.value)
        )
        y = F.scaled_dot_product_attention(q, k, v)
        x = x + self.output(y.transpose(1, 2).reshape(n, length, dim))
        return x + self.dense(F.gelu(self.intermediate(self.layernorm_after(x))))


class ViT(nn.Module):
    """A class token and position embeddings around transformer blocks."""

    def __init__(self, n_patches: int, config: ATACConfig):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, config.dim) * 0.02)
        self.position_embeddings = nn.Parameter(torch.randn(1, n_patches + 1, config.dim) * 0.02)
        self.layer = nn.ModuleList([ViTBlock(config) for _ in range(config.n_layers)])
        self.layernorm = nn.LayerNorm(config.dim, eps=_LN_EPS)

    def forward(self, patches: Tensor) -> Tensor:
        """Map ``(n, n_patches, dim)`` to ``(n, 1 + n_patches, dim)``; the first is the cell."""
        x = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], 1)
        x = x + self.position_embeddings
        for block in self.layer:
            x = block(x)
        return self.layernorm(x)
