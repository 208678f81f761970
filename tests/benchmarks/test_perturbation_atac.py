"""The benchmark of accessibility after perturbations: the screen, opponents, a short run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    """The benchmark as a module."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import perturbation_atac

        yield perturbation_atac
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_effects_of_pairs_add_up_unless_they_share_a_program(script):
    combined = sys.modules["_perturbation_synthetic"].combined
    effects = np.array([[1.0, 0, -0.4], [0, 2, -1.0]])
    np.testing.assert_allclose(combined(effects), [1, 2, -1.0 - 0.5 * 0.4])
    np.testing.assert_allclose(combined(effects[:1]), effects[0])
    assert not combined(effects[:0]).any()


@pytest.mark.benchmarks
def test_a_short_run(script, tmp_path):
    path = tmp_path / "report.json"
    options = ["--seeds", "0", "--cells", "40", "--max-epochs", "2", "--json", str(path)]
    script.main(options)
    report = json.loads(path.read_text())
    summary = report["summary"]
    assert summary["truth"]["r_truth"] == pytest.approx(1)
    assert summary["additive"]["r"] == pytest.approx(summary["matching mean"]["r"], abs=1e-5)
    assert summary["no change"]["r"] == 0 < summary["scMomer, measured expression"]["r"]
    assert len(report["rows"]) == 10 * len(summary)
    script.main(options)  # a run that is complete stays
    assert json.loads(path.read_text())["rows"] == report["rows"]
