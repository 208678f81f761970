"""Counts and scores for tests of translation metrics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

N_CELLS, N_PEAKS = 120, 40
FORMATS = {
    "dense": np.asarray,
    "csr_matrix": sparse.csr_matrix,
    "csc_array": sparse.csc_array,
    "coo_matrix": sparse.coo_matrix,
}


@pytest.fixture
def truth() -> NDArray[np.float32]:
    """Draw counts ``(N_CELLS, N_PEAKS)``: closed to always open peaks, cells of unequal depth."""
    rng = np.random.default_rng(0)
    rate = rng.uniform(0.3, 1.5, (N_CELLS, 1)) * np.linspace(0, 1.5, N_PEAKS)
    counts = rng.poisson(rate).astype(np.float32)
    counts[:, -1] = 2
    return counts


@pytest.fixture
def score(truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Draw informative scores ``(N_CELLS, N_PEAKS)`` with many ties and zeros."""
    rng = np.random.default_rng(1)
    return np.round(truth + rng.normal(size=truth.shape), 0).clip(0).astype(np.float32)


@pytest.fixture(params=FORMATS)
def to_format(request: pytest.FixtureRequest) -> Callable[[NDArray], object]:
    """Return a function that makes a matrix dense or sparse."""
    return FORMATS[request.param]
