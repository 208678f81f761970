"""The benchmark of knockouts runs on a few cells; random genes take the effect of expression away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.benchmarks
def test_ranks_are_not_those_of_expression(tmp_path):
    path = tmp_path / "knockout.json"
    command = [sys.executable, BENCHMARKS / "knockout.py", "--cells", "600", "--genes", "60"]
    subprocess.run([*command, "--json", path], check=True, stdout=subprocess.DEVNULL)
    report = json.loads(path.read_text())
    found = report["spearman_with_detection"]
    assert found["shift"] > 0.7 > abs(found["embedding_z"]) and report["seconds"] > 0
    assert 0 < report["n_scored"] and len(report["best"]) <= 12
