"""The quality benchmarks run on a few cells, and write what their documentation says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
QUICK = ["--folds", "09F+09H", "--seeds", "0", "--cells", "700", "--multivi", "1"]
QUICK += ["--max-epochs", "3"]


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[str, dict]:
    """Both benchmarks on the same models and the same fit of MULTIVI."""
    folder = tmp_path_factory.mktemp("quality")
    found = {}
    for name in ("translation", "embedding"):
        path = folder / f"{name}.json"
        command = [sys.executable, BENCHMARKS / f"{name}.py", *QUICK, "--models", folder / "models"]
        subprocess.run([*command, "--json", path], check=True, stdout=subprocess.DEVNULL)
        found[name] = json.loads(path.read_text())
    return found


@pytest.mark.benchmarks
def test_every_method_has_every_score(reports):
    for name, part in (("translation", "RNA to ATAC"), ("embedding", "embedding")):
        (run,) = reports[name]["runs"]
        methods = run[part]
        assert len(methods) > 8
        assert any(method.startswith("MULTIVI") for method in methods)
        keys = {tuple(scores) for scores in methods.values()}
        assert len(keys) == 1
        assert set(reports[name]["summary"]) == {"all folds", "untouched"}


@pytest.mark.benchmarks
def test_constants_score_what_constants_score(reports):
    (run,) = reports["translation"]["runs"]
    constant = run["RNA to ATAC"]["train mean"]
    assert constant["auroc_within_depth"] == constant["auroc"] == 0.5
    assert constant["pseudobulk_pearson"] == pytest.approx(0, abs=1e-6)
    assert constant["flattened_auroc"] > 0.6  # why that one does not count


@pytest.mark.benchmarks
def test_training_counts_as_time_of_scmomer(reports):
    (run,) = reports["translation"]["runs"]
    ours = run["RNA to ATAC"]
    assert ours["scMomer"]["core_seconds"] > 10 * ours["train mean"]["core_seconds"]


@pytest.mark.benchmarks
def test_uncertainty_is_compared_with_the_probability(reports):
    (run,) = reports["translation"]["runs"]
    assert set(run["uncertainty"]["scMomer"]) == {
        "spearman_over_peaks_of_a_cell",
        "spearman_over_cells_of_a_peak",
        "the_same_of_the_probability",
        "mean_std",
    }


@pytest.mark.benchmarks
def test_an_ablation_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "ablation.json"
    command = [sys.executable, BENCHMARKS / "ablation.py", "--cells", "700", "--json", path]
    rows, times = ["no further heads", "without stage 2"], []
    for some in (rows[:1], rows):
        subprocess.run([*command, "--rows", *some], check=True, stdout=subprocess.DEVNULL)
        report = json.loads(path.read_text())
        assert list(report["rows"]) == some
        times = [*times, report["rows"][rows[0]]["seconds"]]
    assert times[0] == times[1]  # not run again
    late, early = report["rows"].values()
    assert set(late) == set(early) and {"auroc", "rna_ami", "atac_ami", "both_ami"} <= set(late)
    assert late["rna_ami"] != early["rna_ami"]


def test_the_docs_show_the_results():
    subprocess.run([sys.executable, BENCHMARKS / "tables.py", "--check"], check=True)
