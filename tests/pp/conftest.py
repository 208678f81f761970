"""Two experiments with the same cell types."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData

Apart = Callable[..., tuple[AnnData, AnnData]]


def _apart(mdata: MuData, n_atac: int | None = None) -> tuple[AnnData, AnnData]:
    order = np.random.default_rng(3).permutation(mdata.n_obs)[:n_atac]
    atac = mdata["atac"][order].copy()
    atac.obs["true_cell"] = atac.obs_names.to_numpy()
    atac.obs_names = [f"atac{i}" for i in range(atac.n_obs)]
    return mdata["rna"].copy(), atac


@pytest.fixture
def apart() -> Apart:
    """Separate RNA and ATAC: ATAC is shuffled and renamed, ``obs["true_cell"]`` has the truth."""
    return _apart


@pytest.fixture
def sides(mdata: MuData) -> tuple[AnnData, AnnData]:
    """RNA and ATAC of 120 cells, separated."""
    return _apart(mdata)
