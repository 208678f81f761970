"""Attention over padded sets of tokens: FAVOR+ (linear in length) and exact softmax.

Formulas and parameter names follow performer-pytorch (MIT) and Choromanski et al., "Rethinking
Attention with Performers" (ICLR 2021). Two differences: the stabilizer of the keys is the maximum
over one cell instead of the batch, and padding is excluded from the sums.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-4  # added to every random feature, as published


def orthogonal_features(n_features: int, dim: int) -> Tensor:
    """Draw random features: orthogonal blocks, rows scaled by chi-distributed norms.

    Returns
    -------
    Tensor
        Shape ``(n_features, dim)``.
    """
    n_blocks = math.ceil(n_features / dim)
    blocks = [torch.linalg.qr(torch.randn(dim, dim))[0].T for _ in range(n_blocks)]
    norms = torch.randn(n_features, dim).norm(dim=1, keepdim=True)
    return norms * torch.cat(blocks)[:n_features]


class FavorAttention(nn.Module):
    """Softmax attention approximated by positive random features, in linear time.

    This is the plain formula, whose feature maps are 50 times larger than its input: the reference
    for :func:`scmomer.nn.favor._block.favor_block`, which the Performer runs.

    Parameters
    ----------
    dim_head, n_features
        Width of a head; random features, by default ``int(d ln d)`` as in performer-pytorch.
    over_heads
        Stabilize keys by their maximum over all heads of a cell (the published scripts at batch
        size 1) instead of head by head (performer-pytorch 1.1.4). The results differ by about the
        1e-4 that is added to every feature.
    """

    projection_matrix: Tensor

    def __init__(self, dim_head: int, n_features: int | None = None, over_heads: bool = False):
        super().__init__()
        self.over_heads = over_heads
        n_features = n_features or int(dim_head * math.log(dim_head))
        self.register_buffer("projection_matrix", orthogonal_features(n_features, dim_head))

    def _features(self, x: Tensor, over: tuple[int, ...], valid: Tensor) -> Tensor:
        m, d = self.projection_matrix.shape
        x = x * d**-0.25
        projected = x @ self.projection_matrix.T  # (n, h, length, m)
        projected = projected.masked_fill(
            ~valid, -torch.inf
        )  # exp and its gradient become 0, not NaN
        norm = x.square().sum(-1, keepdim=True) / 2
        top = projected.detach().amax(over, keepdim=True)
        top = top.clamp_min(-1e30)  # a cell without tokens has no maximum
        return m**-0.5 * (torch.exp(projected - norm - top) + EPS)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, valid: Tensor) -> Tensor:
        """Attend; `q`, `k`, `v` are ``(n, heads, length, dim_head)``, `valid` ``(n, length)``."""
        keep = valid[:, None, :, None]  # (n, 1, length, 1)
        phi_q = self._features(q, (-1,), torch.ones_like(keep))  # (n, h, length, m)
        over = (-1, -2, -3) if self.over_heads else (-1, -2)
        phi_k = self._features(k, over, keep).masked_fill(~keep, 0.0)
        context = phi_k.transpose(-1, -2) @ v  # (n, h, m, dim_head)
        total = phi_k.sum(-2)[..., None]  # (n, h, m, 1)
        return (phi_q @ context) / (phi_q @ total).clamp_min(1e-12)


class SoftmaxAttention(nn.Module):
    """Exact softmax attention, faster for sequences up to about 400 tokens."""

    def __init__(self, dim_head: int):
        super().__init__()
        self.scale = dim_head**-0.5

    def forward(self, q: Tensor, k: Tensor, v: Tensor, valid: Tensor) -> Tensor:
        """Attend; `q`, `k`, `v` are ``(n, heads, length, dim_head)``, `valid` ``(n, length)``."""
        # A cell without tokens attends to its first padding; pooling ignores the result.
        first = torch.arange(valid.shape[1], device=valid.device) == 0
        seen = valid | (first & ~valid.any(1, keepdim=True))
        mask = seen[:, None, None, :]  # (n, 1, 1, length)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=self.scale)
