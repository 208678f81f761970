"""The benchmark of peak alignment runs, and writes what its documentation says."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_quick_run(tmp_path, monkeypatch, capsys):
    path = tmp_path / "align_peaks.json"
    script = BENCHMARKS / "align_peaks.py"
    sizes = ["--cells", "50", "--peaks", "2000", "--counts", "100"]
    monkeypatch.setattr(sys, "argv", [str(script), *sizes, "--json", str(path)])
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    runpy.run_path(str(script), run_name="__main__")
    report = json.loads(path.read_text())
    assert {"machine", "versions", "seconds", "peak_mb", "input_mb", "result_mb"} <= report.keys()
    assert (report["cells"], report["peaks"], report["target_peaks"]) == (50, 2000, 2000)
    assert 4000 < report["stored_counts"] < 6000
    assert 0.7 < report["stored_counts_aligned"] / report["stored_counts"] < 0.95
    assert "stored_counts_aligned" in capsys.readouterr().out


def test_the_published_run_is_of_full_size():
    report = json.loads((BENCHMARKS / "results" / "align_peaks.json").read_text())
    assert (report["cells"], report["peaks"]) == (100_000, 300_000)
    assert report["seconds"] < 60 and report["peak_mb"] < 4096
