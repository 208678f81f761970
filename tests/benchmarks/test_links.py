"""The benchmark of links runs on a few cells; known links are found, and distance is no help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.benchmarks
def test_links_beat_distance(tmp_path):
    path = tmp_path / "links.json"
    command = [sys.executable, BENCHMARKS / "links.py", "--cells", "500", "--seeds", "0"]
    options = ["--max-epochs", "2", "--json", path]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    report = json.loads(path.read_text())
    known = report["summary"]["synthetic"]
    assert known["distance"][0] < 0.6 < known["scMomer"][0] < known["true profiles"][0]
    recovery = report["summary"]["snareseq"]
    assert recovery["scMomer"]["uniform, all peaks"][0] > 0.52
    assert recovery["mean expression of the gene"]["permuted, all peaks"][0] == pytest.approx(
        0.5, abs=1e-3
    )
