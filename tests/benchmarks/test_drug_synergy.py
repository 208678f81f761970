"""The benchmark of synergy: every method has a row, and summaries are means."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytest.importorskip("rdkit")


@pytest.fixture(scope="module")
def script():
    """The benchmark as a module."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import drug_synergy

        yield drug_synergy
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def folder(tmp_path):
    """Made-up files of 6 drugs and 8 lines."""
    rng = np.random.default_rng(0)
    drugs = tmp_path
    a, b = np.triu_indices(6, 1)
    pair, line = np.divmod(np.arange(len(a) * 8), 8)
    names, lines = [f"d{i}" for i in range(6)], [f"l{i}" for i in range(8)]
    pd.DataFrame(
        {
            "drug_a": [names[i] for i in a[pair]],
            "drug_b": [names[i] for i in b[pair]],
            "cell_line": [lines[i] for i in line],
            "synergy": rng.normal(scale=30, size=len(pair)),
            "fold": pair % 5,
        }
    ).to_csv(drugs / "synergy.csv.gz", index=False)
    smiles = ["CCO", "c1ccccc1", "CCN", "CC(=O)O", "c1ccncc1", "CCCCl"]
    pd.DataFrame({"drug": names, "smiles": smiles}).to_csv(
        drugs / "synergy_smiles.csv", index=False
    )
    expression = pd.DataFrame(rng.gamma(1.0, 40.0, (8, 5)), index=lines).add_prefix("g")
    expression.to_csv(drugs / "synergy_expression_tpm.csv.gz", index_label="cell_line")
    return tmp_path


def test_run_on_made_up_files(script, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "DATA", folder)
    path = tmp_path / "report.json"
    methods = ["--methods", "scmomer", "names", "--splits", "given", "lines"]
    script.main(
        ["--seeds", "0", "1", "--members", "1", "--epochs", "1", "--json", str(path), *methods]
    )
    report = json.loads(path.read_text())
    table = pd.DataFrame(report["rows"])
    naive = {"mean", "additive", "pairs", "interactions"}
    ours = {"networks", "scmomer", "permuted cells", "permuted drugs", "names"}
    assert set(table["method"]) == naive | ours
    counts = table.groupby(["split", "method"]).size()
    assert counts["given", "scmomer"] == counts["given", "additive"] == 10
    assert counts["given", "permuted cells"] == counts["given", "names"] == 5
    assert counts["lines"].eq(5).all() and len(counts["lines"]) == len(naive | ours)
    rows = table[(table["split"] == "given") & (table["method"] == "additive")]
    found = report["summary"]["given"]["additive"]
    assert found["pearson"] == pytest.approx(rows["pearson"].mean(), abs=1e-5)
    assert found["coverage"] is None
    assert 0 <= report["summary"]["given"]["scmomer"]["coverage"] <= 1
