"""The integration benchmark runs on a few cells, and adaptation helps where batches differ."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
QUICK = ["--folds", "09F+09H", "--seeds", "0", "--cells", "700", "--synthetic-cells", "700"]


@pytest.mark.slow
@pytest.mark.benchmarks
def test_every_part_is_scored(tmp_path):
    pytest.importorskip("scib_metrics")
    path = tmp_path / "integration.json"
    command = [sys.executable, BENCHMARKS / "integration.py", *QUICK, "--json", path]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    report = json.loads(path.read_text())
    (run,), (drawn,) = report["runs"], report["synthetic"]["runs"]
    for scores in (run, drawn):
        assert list(scores["integration"]) == ["scMomer, RNA only", "scMomer, both", "PCA"]
        assert set(scores["labels"]["scMomer, RNA only"]) == {
            "accuracy",
            "macro_f1",
            "confidence_auroc",
        }
        assert len(scores["labels"]) == 4
    assert set(report["summary"]["untouched"]) == {"integration", "labels", "batches"}
    average, own = drawn["batches"].values()
    assert own["log_loss"] < average["log_loss"] and own["rmse"] < average["rmse"]
    assert own["profile_mae"] < 0.8 * average["profile_mae"]
