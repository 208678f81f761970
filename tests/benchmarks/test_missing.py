"""The benchmarks of missing modalities run on a few cells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mudata import MuData

from scmomer.datasets import synthetic

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(name: str, path: Path, *options: str, data: Path | None = None) -> dict:
    """Run a benchmark and return its report."""
    command = [sys.executable, BENCHMARKS / f"{name}.py", *options, "--json", path]
    folder = {} if data is None else {"SCMOMER_DATA": str(data)}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **folder})
    return json.loads(path.read_text())


@pytest.mark.benchmarks
def test_mosaics(tmp_path):
    options = ("--cells", "600", "--max-epochs", "3", "--shares", "1", "0.4", "--multivi", "1")
    report = run("missing", tmp_path / "x.json", *options, "--multivi-shares", "0.4")
    (found,) = report["runs"]
    assert found["fold"] == "09F+09H"
    full, part = found["100% paired"], found["40% paired"]
    assert set(full) == {"scMomer", "kNN, 50 cells"} and set(part) == {*full, "MULTIVI"}
    ours = part["scMomer"]
    for key in ("auroc", "accuracy", "rna_pearson_per_gene"):
        assert 0 < ours[key] <= 1
    above = (ours["auroc"] - 0.5) / (full["scMomer"]["auroc"] - 0.5)
    assert ours["auroc_kept"] == pytest.approx(above)
    assert full["scMomer"]["auroc_kept"] == 1 and "rna_pearson_per_gene" not in full["scMomer"]


@pytest.fixture
def marrow(tmp_path) -> Path:
    """A folder with a file like that of the marrow."""
    mdata = synthetic(200, 60, 50, n_proteins=8)
    rna, adt = mdata["rna"], mdata["protein"]
    obs = pd.DataFrame(
        {"batch": mdata.obs["batch"].map({"batch1": "s1d1", "batch2": "s1d2"}).astype(str)}
    ).assign(cell_type=mdata.obs["cell_type"].astype(str))
    (tmp_path / "protein").mkdir()
    found = MuData({"rna": rna, "adt": adt})
    found.obs[["batch", "cell_type"]] = obs
    found.write_h5mu(tmp_path / "protein" / "bmmc_cite.h5mu")
    return tmp_path


@pytest.mark.benchmarks
def test_proteins(tmp_path, marrow):
    options = ("--folds", "marrow/s1d1", "marrow/s1d2", "--seeds", "0", "--epochs", "2")
    report = run("protein", tmp_path / "x.json", *options, data=marrow)
    assert [r["fold"] for r in report["runs"]] == ["marrow/s1d1", "marrow/s1d2"]
    scores = report["runs"][0]["scores"]
    assert set(scores) == {
        "scMomer",
        "train mean",
        "kNN, 20 cells",
        "linear on 50 PCs",
        "TOTALVI",
    }
    assert scores["train mean"]["pearson"] == 0 and scores["scMomer"]["pearson"] > 0.4
    mean, error = report["summary"]["untouched"]["protein"]["scMomer"]["pearson"]
    assert mean == report["runs"][1]["scores"]["scMomer"]["pearson"]
    assert error != error  # of a single fold
