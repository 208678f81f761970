"""The pairing benchmark runs on a few cells, and pairs beat chance."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.benchmarks
def test_pairs_beat_chance(tmp_path):
    pytest.importorskip("ot")
    path = tmp_path / "pairing.json"
    command = [sys.executable, BENCHMARKS / "pairing.py", "--cells", "700", "--seeds", "0"]
    subprocess.run([*command, "--json", path], check=True, stdout=subprocess.DEVNULL)
    report = json.loads(path.read_text())
    (run,) = report["runs"]
    assert report["cells"] == 700 and set(report["summary"]) == set(run)
    chance = run["random"]
    assert chance["cell_type_kappa"] == pytest.approx(0, abs=0.06)
    assert chance["foscttm"] == pytest.approx(0.5, abs=0.03)
    for name in ("embedding", "ot"):
        assert run[name]["cell_type_kappa"] > 0.3
        assert run[name]["foscttm"] < 0.35 and run[name]["foscttm_of_partners"] < 0.5
        assert run[name]["confidence_auroc"] > 0.55
    assert run["labels (told cell_type)"]["cell_type_agreement"] == 1
