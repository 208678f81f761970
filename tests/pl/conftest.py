"""Measured peaks and a synthetic translation."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

TYPES = ("Astro", "L4", "Oligo")


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    """Closes all figures after a test."""
    yield
    plt.close("all")


@pytest.fixture
def truth() -> AnnData:
    """Counts of 240 cells x 90 peaks; the first 60 are markers, 20 of each type in turn."""
    rng = np.random.default_rng(0)
    kind = np.arange(240) % 3
    rate = np.where(np.arange(90) // 20 == kind[:, None], 0.4, 0.1)
    adata = AnnData(sp.csr_matrix(rng.poisson(rate), dtype=np.float32))
    adata.obs["cell_type"] = np.array(TYPES)[kind]
    adata.var_names = [f"chr1:{i}00-{i}50" for i in range(90)]
    return adata


@pytest.fixture
def translated(truth) -> AnnData:
    """Mean of each type, with noise, of the same cells."""
    rng = np.random.default_rng(1)
    opened, kind = truth.X.toarray() > 0, truth.obs["cell_type"].to_numpy()
    means = np.stack([opened[kind == k].mean(axis=0) for k in kind])
    x = np.clip(means + rng.normal(0, 0.02, truth.shape), 0, 1).astype(np.float32)
    return AnnData(x, obs=truth.obs.copy(), var=truth.var.copy(), layers={"scmomer": x})
