"""Made-up screens with known values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData


@pytest.fixture
def matrix() -> np.ndarray:
    """ln(uM) of 40 lines and 12 drugs, a fifth not measured."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 12)) + rng.normal(size=(40, 1)) + 3 * rng.normal(size=12)
    values[rng.random(values.shape) < 0.2] = np.nan
    return values


@pytest.fixture
def response(matrix: np.ndarray) -> pd.DataFrame:
    """The matrix as a table of three columns, lines and drugs in their order."""
    line, drug = np.nonzero(np.ones_like(matrix, bool))
    table = pd.DataFrame(
        {
            "drug": [f"drug {i}" for i in drug],
            "cell_line": [f"line {i}" for i in line],
            "ln_ic50": matrix.ravel(),
        }
    )
    return table.dropna()


@pytest.fixture
def synergy() -> pd.DataFrame:
    """All pairs of 8 drugs in 6 lines, five folds of pairs."""
    rng = np.random.default_rng(0)
    a, b = np.triu_indices(8, 1)
    fold = rng.permutation(np.arange(len(a)) % 5)
    rows = np.repeat(np.arange(len(a)), 6)
    return pd.DataFrame(
        {
            "drug_a": [f"drug {i}" for i in a[rows]],
            "drug_b": [f"drug {i}" for i in b[rows]],
            "cell_line": [f"line {i}" for i in np.tile(np.arange(6), len(a))],
            "synergy": rng.normal(scale=20, size=len(rows)),
            "fold": fold[rows],
        }
    )


@pytest.fixture
def smiles() -> pd.Series:
    """Molecules of the 8 drugs of :func:`synergy`."""
    found = ["CCO", "CC(=O)Oc1ccccc1C(=O)O", "c1ccncc1CCN", "CC(C)Cc1ccc(cc1)C(C)C(=O)O"]
    found += ["CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "CC(=O)Nc1ccc(O)cc1", "OCC1CCCCO1", "Clc1ccccc1N"]
    return pd.Series(found, index=[f"drug {i}" for i in range(8)])


@pytest.fixture
def lines() -> AnnData:
    """Counts of 30 genes in 5 of the 6 lines of :func:`synergy`."""
    rng = np.random.default_rng(1)
    genes = pd.DataFrame(index=[f"gene {i}" for i in range(30)])
    names = pd.DataFrame(index=[f"line {i}" for i in range(5)])
    return AnnData(rng.poisson(20.0, (5, 30)).astype(float), obs=names, var=genes)
