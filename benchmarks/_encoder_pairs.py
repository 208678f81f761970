"""The RNA encoder and its opponents, with the same weights and inputs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from performer_pytorch import PerformerLM
from torch import Tensor, nn

from scmomer.module import RNAConfig, get_config
from scmomer.module.modalities.rna._performer import Performer
from scmomer.module.modalities.rna._tokens import ExpressionTokens

Hidden = Callable[[Tensor], Tensor]


def config_of(size: str) -> RNAConfig:
    """Return the encoder's configuration with all genes as tokens and FAVOR+ attention."""
    return get_config(size, rna_tokens="all", rna_attention="favor").modalities["rna"]


def flops_per_token(config: RNAConfig) -> float:
    """Return the forward arithmetic of the method, without overhead of an implementation."""
    inner = config.n_heads * config.dim_head
    m = config.n_features or int(config.dim_head * torch.tensor(config.dim_head).log())
    linear = 2 * config.dim * (4 * inner + 2 * config.ff_mult * config.dim)
    return config.n_layers * (linear + 2 * inner * 4 * m)


class Pair:
    """Both encoders with the same weights, and exact attention with them too."""

    def __init__(self, size: str, tokens: int, device: str):
        torch.manual_seed(0)
        self.config = config_of(size)
        self.ours = Performer(tokens, self.config)
        self.theirs = PerformerLM(
            num_tokens=self.config.n_bins + 2,
            max_seq_len=tokens + 1,
            dim=self.config.dim,
            depth=self.config.n_layers,
            heads=self.config.n_heads,
            dim_head=self.config.dim_head,
            ff_mult=self.config.ff_mult,
            attn_out_bias=True,
            rotary_position_emb=False,
            feature_redraw_interval=None,
        )
        missing, unexpected = self.theirs.load_state_dict(self.ours.state_dict(), strict=False)
        if unexpected or any("proj_updater" not in name for name in missing):
            raise RuntimeError(f"Expected the same parameters, found {missing}, {unexpected}.")
        self.theirs.pos_emb.emb.weight.requires_grad_(self.ours.pos_emb.emb.weight.requires_grad)
        self.ours.to(device).eval()
        self.theirs.to(device).eval()

    def our_hidden(self, bins: Tensor) -> Tensor:
        """Gene embeddings ``(n, tokens, dim)``."""
        genes = torch.arange(bins.shape[1], device=bins.device).expand_as(bins)
        valid = torch.ones_like(bins, dtype=torch.bool)
        return self.ours(ExpressionTokens(genes, bins, bins.float(), valid))

    def their_hidden(self, bins: Tensor) -> Tensor:
        """Gene embeddings ``(n, tokens, dim)``."""
        return self.theirs(bins, return_encodings=True)

    def exact_hidden(self, bins: Tensor) -> Tensor:
        """Gene embeddings ``(n, tokens, dim)`` by softmax attention: other values, same sizes."""
        model = self.ours
        x = model.token_emb(bins) + model.pos_emb.emb.weight[: bins.shape[1]]
        for attention, feed_forward in model.performer.net.layers:
            x = x + _exact_attention(attention.fn, attention.norm(x))
            x = feed_forward(x)
        return model.norm(x)


def _exact_attention(fn: nn.Module, x: Tensor) -> Tensor:
    n, length, _ = x.shape
    q, k, v = (
        layer(x).view(n, length, fn.heads, -1).transpose(1, 2)  # (n, heads, length, dim_head)
        for layer in (fn.to_q, fn.to_k, fn.to_v)
    )
    out = F.scaled_dot_product_attention(q, k, v)  # without a mask: the fastest kernels
    return fn.to_out(out.transpose(1, 2).reshape(n, length, -1))


def cast_to(device: str, dtype: str) -> AbstractContextManager:
    """Return mixed precision, or nothing for float32."""
    return torch.autocast(device, torch.bfloat16) if dtype == "bfloat16" else nullcontext()


def run_of(
    model: nn.Module, hidden: Hidden, bins: Tensor, dim: int, mode: str, dtype: str
) -> Callable[[], list[Tensor]]:
    """Return a function that runs one pass; it returns the output or the gradients."""
    cast = cast_to(bins.device.type, dtype)
    parameters = [p for p in model.parameters() if p.requires_grad]
    # A random direction, because the square of a layer norm's output has almost no gradient;
    # drawn on the CPU, so that it is the same on every device.
    draw = torch.Generator().manual_seed(1)
    direction = torch.randn(bins.shape[1], dim, generator=draw).to(bins.device)

    def forward() -> list[Tensor]:
        with torch.no_grad(), cast:
            return [hidden(bins)]

    def training() -> list[Tensor]:
        with cast:
            loss = (hidden(bins).float() * direction).mean()
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        return [g for g in found if g is not None]

    return forward if mode == "forward" else training


def relative_error(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Return the largest difference relative to the largest value, over outputs or gradients."""
    return max(
        float((a.float() - b.float()).abs().max() / b.float().abs().max())
        for a, b in zip(ours, theirs, strict=True)
    )
