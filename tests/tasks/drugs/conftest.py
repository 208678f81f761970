"""Made-up screens with known values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmomer.tasks.drugs import DrugResponseModel


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


# -- a screen in which profiles and molecules tell of the response

_RESIDUES = ("C", "CC", "Cl", "F", "OC", "Br", "C#N", "C(F)(F)F")
_FAMILIES = {  # of 8 molecules each
    "sulfonamide": [f"NS(=O)(=O)c1ccc({x})cc1" for x in _RESIDUES],
    "pyrimidine": [f"c1({x})ccc(Nc2ncccn2)cc1" for x in _RESIDUES],
    "acid": ["C" * n + "C(=O)O" for n in range(3, 11)],
}


@dataclass(frozen=True)
class Screen:
    """A made-up screen; drugs are in the order in which `response` has them."""

    truth: pd.DataFrame
    """Without noise and gaps, lines x drugs."""
    values: pd.DataFrame
    """As measured, NaN where not."""
    response: pd.DataFrame
    cells: AnnData
    """z-scores."""
    drugs: pd.Series

    def of(self, lines: slice) -> pd.DataFrame:
        """Rows of the response of some lines."""
        return self.response[self.response["cell_line"].isin(self.cells.obs_names[lines])]


def _screen(
    n_lines: int = 60,
    n_drugs: int = 12,
    n_genes: int = 60,
    noise: float = 0.4,
    gaps: float = 0.15,
    seed: int = 0,
    auc: bool = False,
) -> Screen:
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n_lines, 4))
    genes = factors @ rng.normal(size=(4, n_genes)) / 2 + 0.5 * rng.normal(size=(n_lines, n_genes))
    genes = (genes - genes.mean(0)) / genes.std(0)
    names = [f"{family} {i}" for i in range(8) for family in _FAMILIES][:n_drugs]
    drugs = pd.Series([_FAMILIES[n.split()[0]][int(n[-1])] for n in names], index=names)
    family = np.array([list(_FAMILIES).index(n.split()[0]) for n in names])
    truth = (
        2 * rng.normal(size=n_drugs)
        + factors[:, :1]
        + 1.5 * factors[:, 1:][:, family]  # each family reads a factor of the cell
    )
    values = truth + noise * rng.normal(size=truth.shape)
    if auc:
        truth, values = (1 / (1 + np.exp(-x / 2)) for x in (truth, values))
    gap = rng.random(values.shape) < gaps
    gap[0] = False  # the first line fixes the order of the drugs
    lines = [f"line {i}" for i in range(n_lines)]
    measured = pd.DataFrame(np.where(gap, np.nan, values), lines, names)
    line, drug = np.nonzero(~gap)
    response = pd.DataFrame(
        {
            "cell_line": np.array(lines)[line],
            "drug": np.array(names)[drug],
            "auc" if auc else "ln_ic50": values[line, drug],
        }
    )
    cells = AnnData(pd.DataFrame(genes, lines, [f"gene {i}" for i in range(n_genes)]))
    return Screen(pd.DataFrame(truth, lines, names), measured, response, cells, drugs)


@pytest.fixture(scope="session")
def make_screen() -> Callable[..., Screen]:
    """Makes a screen of 60 lines and 12 drugs in 3 families, or of other sizes."""
    return _screen


@pytest.fixture(scope="session")
def screen() -> Screen:
    """A screen of 100 lines: 60 to train on. Shared: must not be changed."""
    return _screen(n_lines=100)


@pytest.fixture(scope="session")
def fitted_response(screen) -> DrugResponseModel:
    """A model of the first 60 lines of :func:`screen`. Shared: must not be fitted again."""
    return DrugResponseModel(n_members=2).fit(
        screen.of(slice(60)), screen.cells, screen.drugs, profile="zscore"
    )


@pytest.fixture
def few_epochs(monkeypatch) -> None:
    """Networks that hardly train, where it does not matter."""
    monkeypatch.setattr("scmomer.tasks.drugs.response._train.N_EPOCHS", 2)
    monkeypatch.setattr("scmomer.tasks.drugs.response._train._DRUG_STEPS", 2)
    monkeypatch.setattr("scmomer.tasks.drugs.response._published._EPOCHS", 2)
