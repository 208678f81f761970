"""Small networks and cells of three types for tests of training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scmomer.data import Cells
from scmomer.module import SCMOMERModule, get_config, patch_layout

TINY = {
    "n_latent": 8,
    "bridge_hidden": 16,
    "rna_dim": 8,
    "rna_depth": 1,
    "rna_heads": 2,
    "rna_dim_head": 4,
    "rna_mlp_hidden": 16,
    "atac_dim": 8,
    "atac_depth": 1,
    "atac_heads": 2,
    "atac_mlp_dim": 16,
    "atac_n_patches": 6,
    "atac_mlp_hidden": 16,
}


def draw(n: int, n_features: int, rate: float, rng: np.random.Generator) -> sp.csr_matrix:
    """Counts of three types of cells, which differ in a third of the features each."""
    mean = np.full((3, n_features), rate)
    for kind in range(3):
        mean[kind, kind::3] *= 1.5 + kind  # unequal effects: components in a definite order
    depth = rng.lognormal(0, 0.3, (n, 1))
    return sp.csr_matrix(rng.poisson(mean[np.arange(n) % 3] * depth).astype(np.float32))


@pytest.fixture(scope="session")
def make_cells() -> Callable[..., Cells]:
    """Draws cells; those in `without` lack a modality, for example ``{"rna": [0, 1]}``."""

    def make(
        n: int = 60, n_genes: int = 30, n_peaks: int = 40, seed: int = 0, without=None
    ) -> Cells:
        rng = np.random.default_rng(seed)
        counts = {"rna": draw(n, n_genes, 1.0, rng), "atac": draw(n, n_peaks, 0.4, rng)}
        measured = {m: np.ones(n, bool) for m in counts}
        for modality, missing in (without or {}).items():
            measured[modality][missing] = False
            counts[modality] = sp.csr_matrix(sp.diags(1.0 * measured[modality]) @ counts[modality])
            counts[modality].eliminate_zeros()
        return Cells(counts, measured)

    return make


@pytest.fixture(scope="session")
def make_network() -> Callable[..., SCMOMERModule]:
    """Builds an untrained network of a few thousand parameters."""

    def make(n_genes: int = 30, n_peaks: int = 40, seed: int = 0, **overrides) -> SCMOMERModule:
        torch.manual_seed(seed)
        layout = patch_layout(np.arange(n_peaks) % 2, np.arange(n_peaks), 6) if n_peaks else None
        return SCMOMERModule(n_genes, layout, 1, get_config("small", **{**TINY, **overrides}))

    return make
