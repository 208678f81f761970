"""Embeddings with a known property, and pairs with a known interaction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.genes import GeneVectors, read_embeddings


@pytest.fixture
def table() -> pd.DataFrame:
    """Vectors of 120 genes, GENE0 to GENE119."""
    x = np.random.default_rng(0).normal(size=(120, 6))
    return pd.DataFrame(x, index=[f"GENE{i}" for i in range(120)])


@pytest.fixture
def genes(table) -> GeneVectors:
    return read_embeddings(table, "X_scmomer", None)
