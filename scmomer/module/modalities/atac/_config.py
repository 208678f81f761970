"""Configuration of ATAC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scmomer._checks import optional_share
from scmomer.module._config import StageConfig


@dataclass(frozen=True)
class ATACConfig:
    """ATAC encoder: genomic patches of peaks, ViT blocks, trained pooler."""

    encoder: Literal["vit", "mlp", "custom"] = "vit"
    n_patches: int = 64  # at least one per chromosome
    # First base of each patch, "chr1:1000", for the patches of another model; empty: cut anew.
    patch_starts: tuple[str, ...] = ()
    # "file" is what the published scripts do: consecutive columns of the data, whatever the order
    patch_order: Literal["genome", "file"] = "genome"
    patch_weights: Literal["shared", "per_peak"] = "per_peak"  # "shared" is the published one
    dim: int = 64
    n_layers: int = 2
    n_heads: int = 4
    mlp_dim: int = 128
    peak_skip: bool = True  # a linear map of open peaks beside the pooled class token
    mlp_hidden: int = 256
    mlp_dropout: float = 0.3
    pos_weight: float = 1.0  # of open peaks; 1 keeps probabilities calibrated; published: 20, 5, 5
    depth_term: bool = True  # decoders read the cell's depth
    # Share of the predicted deviation from the mean depth at which RNA is translated, which RNA
    # predicts roughly. None: 1 in deep cells, 0.35 in others; see resolve_for_depth.
    depth_share: float | None = None

    def __post_init__(self) -> None:
        """Refuse a share outside of 0 to 1, which translations would follow in silence."""
        optional_share("atac_depth_share", self.depth_share)


_STAGE = StageConfig(min_steps=50)
PRESETS = {
    "small": (ATACConfig(), _STAGE),
    "base": (ATACConfig(n_patches=128, dim=128, n_layers=4, n_heads=8, mlp_dim=512), _STAGE),
    "paper": (
        ATACConfig(
            n_patches=128,
            patch_weights="shared",
            dim=512,
            n_layers=6,
            n_heads=8,
            mlp_dim=2048,
            peak_skip=False,
            pos_weight=5.0,
            depth_term=False,
        ),
        StageConfig(100, 1e-4, batch_size=32, weight_decay=0.0, patience=3),
    ),
}
