"""The quality benchmarks run on a few cells, and write what their documentation says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
QUICK = ["--folds", "09F+09H", "--seeds", "0", "--cells", "700"]


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[str, dict]:
    """Both benchmarks on the same models."""
    folder = tmp_path_factory.mktemp("quality")
    found = {}
    for name in ("translation", "embedding"):
        path = folder / f"{name}.json"
        command = [sys.executable, BENCHMARKS / f"{name}.py", *QUICK, "--models", folder / "models"]
        subprocess.run([*command, "--json", path], check=True, stdout=subprocess.DEVNULL)
        found[name] = json.loads(path.read_text())
    return found


def test_every_method_has_every_score(reports):
    for name, part in (("translation", "RNA to ATAC"), ("embedding", "embedding")):
        (run,) = reports[name]["runs"]
        methods = run[part]
        assert len(methods) > 7
        keys = {tuple(scores) for scores in methods.values()}
        assert len(keys) == 1
        assert set(reports[name]["summary"]) == {"all folds", "untouched"}


def test_constants_score_what_constants_score(reports):
    (run,) = reports["translation"]["runs"]
    constant = run["RNA to ATAC"]["train mean"]
    assert constant["auroc_within_depth"] == constant["auroc"] == 0.5
    assert constant["pseudobulk_pearson"] == pytest.approx(0, abs=1e-6)
    assert constant["flattened_auroc"] > 0.6  # why that one does not count


def test_training_counts_as_time_of_scmomer(reports):
    (run,) = reports["translation"]["runs"]
    ours = run["RNA to ATAC"]
    assert ours["scMomer"]["seconds"] > 10 * ours["train mean"]["seconds"]
