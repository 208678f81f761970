"""The benchmark of drugs on small files, and its tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMILES = (
    *("CCO", "CC(=O)O", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"),
    *("CC(C)Cc1ccc(cc1)C(C)C(=O)O", "C1CCCCC1", "NCCc1ccc(O)c(O)c1"),
)


@pytest.fixture(scope="module")
def scripts():
    """The benchmark and its shared files as modules."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import _drug_tables
        import drugs

        yield SimpleNamespace(tables=_drug_tables, drugs=drugs)
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def small(scripts, monkeypatch):
    """30 lines x 8 drugs instead of the files."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((30, 20))
    names = [f"d{i}" for i in range(len(SMILES))]
    y = x[:, :3] @ generator.standard_normal((3, 8)) + generator.standard_normal(8) * 2
    table = pd.DataFrame(y, [f"l{i}" for i in range(30)], names).rename_axis("cell_line")
    table = table.reset_index().melt("cell_line", var_name="drug", value_name="ln_ic50")
    cells = ad.AnnData(pd.DataFrame(x, [f"l{i}" for i in range(30)], [f"g{i}" for i in range(20)]))
    monkeypatch.setattr(scripts.drugs, "response", lambda: table)
    monkeypatch.setattr(scripts.drugs, "cell_lines", lambda: cells)
    monkeypatch.setattr(scripts.drugs, "smiles", lambda: pd.Series(SMILES, names))
    monkeypatch.setattr(
        scripts.drugs, "thresholds", lambda: pd.DataFrame({"drug": names, "threshold": 0.0})
    )


@pytest.mark.benchmarks
def test_parts_run_and_are_kept(scripts, small, tmp_path, monkeypatch):
    path = tmp_path / "drugs.json"
    options = ["--seeds", "0", "1", "--n-folds", "3", "--json", str(path)]
    scripts.drugs.main(["--parts", "lines", *options])
    scripts.drugs.main(["--parts", "drugs", *options])
    found = json.loads(path.read_text())
    assert {"drug mean", "ridge", "scmomer", "cells permuted"} <= set(found["lines"])
    assert "drugs permuted" in found["drugs"] and "command" in found
    monkeypatch.setattr(scripts.tables, "results", lambda name: found)
    for part in ("lines", "classes", "drugs"):
        table = scripts.tables.drugs(part)
        assert "scMomer" in table and "**" in table
    assert scripts.tables.drugs("lines").count("\n") == 2 + 6


def test_errors_are_over_seeds(scripts):
    table = pd.DataFrame(
        {
            "method": ["a"] * 4,
            "seed": [0, 0, 1, 1],
            "fold": [0, 1, 0, 1],
            "rmse": [1.0, 3.0, 3.0, 5.0],
        }
    )
    mean, error = scripts.drugs.summarize(table)["a"]["rmse"]
    assert mean == 3.0 and error == pytest.approx(1.0)  # of seeds 2 and 4


def test_gain_of_a_group_by_permutation(scripts, monkeypatch):
    drugs = pd.Index([f"d{i}" for i in range(40)])
    gain = pd.Series(0.0, drugs)
    gain.iloc[:5] = 1.0
    scores = pd.DataFrame({"both": gain, "expression": 0.0})
    monkeypatch.setattr(scripts.drugs, "EPIGENETIC", tuple(drugs[:5]))
    found = scripts.drugs.epigenetic(gain, scores, n=500)
    assert found["gain"] == 1.0 and found["gain of the rest"] == 0.0 and found["p"] < 0.01
    monkeypatch.setattr(scripts.drugs, "EPIGENETIC", tuple(drugs[5:10]))
    assert scripts.drugs.epigenetic(gain, scores, n=500)["p"] > 0.5
