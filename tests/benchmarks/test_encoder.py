"""The encoder benchmark runs, and writes what its documentation says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROW = {
    "tokens",
    "size",
    "mode",
    "dtype",
    "ours_cells_per_s",
    "theirs_cells_per_s",
    "ratio",
    "ours_peak_mb",
    "theirs_peak_mb",
    "share_of_peak",
    "relative_error",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    """A run on very short cells."""
    path = tmp_path_factory.mktemp("encoder") / "encoder.json"
    command = [sys.executable, BENCHMARKS / "encoder.py", "--tokens", "40", "70", "--repeats", "1"]
    subprocess.run([*command, "--json", path], check=True, stdout=subprocess.DEVNULL)
    return json.loads(path.read_text())


@pytest.mark.benchmarks
def test_every_row_is_there(report):
    assert {"machine", "versions", "matmul_peak_gflops", "rows"} <= report.keys()
    assert report["matmul_peak_gflops"] > 0
    found = {(r["size"], r["tokens"], r["mode"]) for r in report["rows"]}
    modes = ("forward", "training")
    assert found == {(s, t, m) for s in ("paper", "small") for t in (40, 70) for m in modes}
    for row in report["rows"]:
        assert row.keys() >= ROW
        assert row["ratio"] == pytest.approx(row["ours_cells_per_s"] / row["theirs_cells_per_s"])
        assert 0 < row["share_of_peak"] < 2


@pytest.mark.benchmarks
def test_both_compute_the_same(report):
    assert all(row["relative_error"] < 1e-4 for row in report["rows"])
