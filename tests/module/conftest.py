"""Small networks and sparse minibatches for tests of the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scmomer.module import PatchLayout, SCMOMERModule, SparseRows, get_config, patch_layout

TINY = {
    "n_latent": 8,
    "bridge_hidden": 16,
    "discriminator_hidden": 8,
    "rna_dim": 12,
    "rna_depth": 2,
    "rna_heads": 2,
    "rna_dim_head": 8,
    "rna_mlp_hidden": 16,
    "atac_dim": 12,
    "atac_depth": 1,
    "atac_heads": 2,
    "atac_mlp_dim": 16,
    "atac_n_patches": 6,
    "atac_mlp_hidden": 16,
}


@pytest.fixture(scope="session")
def sparse() -> Callable[..., SparseRows]:
    """Turns a dense table into a sparse minibatch."""

    def make(dense, dtype: torch.dtype = torch.float32) -> SparseRows:
        dense = torch.as_tensor(dense, dtype=dtype)
        rows, columns = dense.nonzero(as_tuple=True)
        ends = torch.bincount(rows, minlength=len(dense)).cumsum(0)
        return SparseRows(F.pad(ends, (1, 0)), columns, dense[rows, columns])

    return make


@pytest.fixture(scope="session")
def counts() -> Callable[..., torch.Tensor]:
    """Draws a dense table of counts, mostly zeros; cells in `empty` have none."""

    def make(n: int, n_features: int, *, seed: int = 0, density: float = 0.3, empty=()):
        rng = np.random.default_rng(seed)
        table = rng.integers(1, 9, (n, n_features)) * (rng.random((n, n_features)) < density)
        table[list(empty)] = 0
        return torch.from_numpy(table.astype(np.float32))

    return make


@pytest.fixture(scope="session")
def make_layout() -> Callable[..., PatchLayout]:
    """Lays out peaks of three chromosomes that are listed in random order."""

    def make(n_peaks: int, n_patches: int = 6, seed: int = 0) -> PatchLayout:
        rng = np.random.default_rng(seed)
        return patch_layout(rng.integers(0, 3, n_peaks), rng.permutation(n_peaks), n_patches)

    return make


@pytest.fixture(scope="session")
def make_module(make_layout) -> Callable[..., SCMOMERModule]:
    """Builds an untrained network of a few thousand parameters."""

    def make(
        n_genes: int = 30, n_peaks: int = 40, n_batches: int = 1, seed: int = 0, **overrides
    ) -> SCMOMERModule:
        torch.manual_seed(seed)
        config = get_config("small", **{**TINY, **overrides})
        layout = make_layout(n_peaks, config.atac.n_patches) if n_peaks else None
        return SCMOMERModule(n_genes, layout, n_batches, config)

    return make
