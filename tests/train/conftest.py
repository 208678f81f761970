"""Small networks and cells of three types for tests of training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from scmomer.module import SCMOMERModule, get_config, patch_layout

TINY = {
    "n_latent": 8,
    "bridge_hidden": 16,
    "rna_dim": 8,
    "rna_n_layers": 1,
    "rna_n_heads": 2,
    "rna_dim_head": 4,
    "rna_mlp_hidden": 16,
    "atac_dim": 8,
    "atac_n_layers": 1,
    "atac_n_heads": 2,
    "atac_mlp_dim": 16,
    "atac_n_patches": 6,
    "atac_mlp_hidden": 16,
}


@pytest.fixture(scope="session")
def make_network() -> Callable[..., SCMOMERModule]:
    """Builds an untrained network of a few thousand parameters."""

    def make(n_genes: int = 30, n_peaks: int = 40, seed: int = 0, **overrides) -> SCMOMERModule:
        torch.manual_seed(seed)
        layout = patch_layout(np.arange(n_peaks) % 2, np.arange(n_peaks), 6) if n_peaks else None
        return SCMOMERModule(n_genes, layout, 1, get_config("small", **{**TINY, **overrides}))

    return make
