"""The comparison of defaults goes on where it stopped, and its tables compare equal seeds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from scmomer.datasets import synthetic
from scmomer.module import get_config

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts():
    """The benchmark and its parts as modules."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import _deep_default_sets
        import _deep_default_tables
        import deep_defaults

        yield SimpleNamespace(
            sets=_deep_default_sets, tables=_deep_default_tables, main=deep_defaults
        )
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_the_first_row_is_the_default_of_deep_cells(scripts):
    config = get_config("small", **scripts.main._DEFAULTS)
    assert scripts.main.ROWS[scripts.main.DEEP] == {}
    assert get_config("small", base=config, rna_min_spread=None) == get_config("small")
    for row, options in scripts.main.ROWS.items():
        changed = get_config("small", **{**scripts.main._DEFAULTS, **options})
        assert (changed != config) == (row != scripts.main.DEEP)


def test_runs_are_not_repeated(scripts, tmp_path, monkeypatch):
    path, asked = tmp_path / "found.json", []

    class Part:
        rna = synthetic(30)["rna"]

        def run(self, options, seed):
            asked.append((options["rna_target_sum"], seed))
            return {"score": 0.5}

    monkeypatch.setattr(scripts.main, "SETS", {"CITE-seq": Part})
    command = ["deep_defaults.py", "--json", str(path), "--seeds", "3", "--rows"]
    rows = [scripts.main.DEEP, "target sum a quarter of the median", "3 quantile bins"]
    for some in (rows[:1], rows):
        monkeypatch.setattr(sys, "argv", [*command, *some])
        scripts.main.main()
    quarter = 0.25 * scripts.sets.median_total(Part.rna)
    assert asked == [(None, 3), (quarter, 3)]  # a perceptron has no bins
    report = json.loads(path.read_text())
    assert len(report["runs"]) == len(report["commands"]) == 2
    assert report["summary"]["CITE-seq"][rows[0]]["score"][0] == 0.5


def test_differences_are_those_of_equal_seeds(scripts):
    def run(row: str, seed: int, score: float) -> dict:
        return {"set": "blood", "row": row, "seed": seed, "scores": {"accuracy": score}}

    runs = [run("deep default: x", 0, 0.5), run("deep default: x", 1, 0.7), run("other", 1, 0.8)]
    runs += [run("new seed", 5, 0.9)]
    header, *rows = scripts.tables.differences(runs, {"blood": {"accuracy": "acc."}})
    assert header == ["change", "blood: acc."]
    assert rows == [
        ["deep default: x", "0.600 ± 0.100"],
        ["other", "+0.100"],
        ["new seed", "-"],
    ]


def test_a_multiome_is_scored(scripts):
    tiny = {"n_latent": 4, "rna_mlp_hidden": 8, "atac_mlp_hidden": 8, "bridge_hidden": 8}
    mdata = synthetic(90, 40, 60)
    part = scripts.sets.Multiome(*scripts.sets.some(mdata, 50), "cell_type")
    assert part.train.n_obs == 50 and part.test.n_obs == 40
    assert not set(part.train.obs_names) & set(part.test.obs_names)
    scores = part.run(tiny, 0)
    wanted = {"auroc_within_depth", "auroc", "pseudobulk_pearson", "accuracy", "macro_f1"}
    assert wanted | {"ari", "ami"} == set(scores)
    assert scores["auroc"] > 0.5
