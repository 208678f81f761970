"""The annotation benchmark runs on a few cells; its helpers do what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    """Two protocols, one fold, one seed."""
    path = tmp_path_factory.mktemp("annotation") / "annotation.json"
    command = [sys.executable, BENCHMARKS / "annotation.py", "--folds", "09F+09H", "--seeds", "0"]
    command += ["--cells", "700", "--models", path.parent / "models", "--json", path]
    for protocol in ("batches", "unknown"):  # one after the other: the first one's rows stay
        subprocess.run([*command, "--protocols", protocol], check=True, stdout=subprocess.DEVNULL)
    return json.loads(path.read_text())


@pytest.mark.benchmarks
def test_every_method_has_every_score(report):
    (run,) = report["batches"]["runs"]
    methods = run["methods"]
    assert {"scMomer", "naive Bayes, counts", "logistic regression, 50 PCs"} <= set(methods)
    assert len(methods) > 8
    for scores in methods.values():
        assert 0.3 < scores["accuracy"] <= 1
        assert set(scores["recall"]) == set(methods["scMomer"]["recall"])
    assert set(report["batches"]["summary"]["all"]) == set(methods)


@pytest.mark.benchmarks
def test_unknown_types_stand_out(report):
    assert report["unknown"]["runs"]
    for run in report["unknown"]["runs"]:
        assert "scMomer, novelty" in run["methods"] and run["setting"]
        assert all(0 <= s["auroc"] <= 1 for s in run["methods"].values())


@pytest.fixture(scope="module")
def helpers():
    """The benchmark as a module."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import annotation

        yield annotation
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_counts_come_back_from_their_logarithm(helpers):
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.3, (50, 80)).astype(float)
    counts[:, 0] = 1  # every cell has a gene with one count
    lognorm = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    again = helpers.recover_counts(AnnData(sp.csr_matrix(lognorm)))
    assert np.array_equal(again.X.toarray(), counts)
    with pytest.raises(SystemExit, match="whole counts"):
        helpers.recover_counts(AnnData(sp.csr_matrix(rng.random((5, 8)))))


def test_subsets_keep_two_cells_of_each_type(helpers):
    labels = np.repeat(["a", "b", "c"], [100, 10, 2])
    kept = helpers.subset(labels, {"a": 20, "b": 1, "c": 0}, 0)
    assert np.unique(labels[kept], return_counts=True)[1].tolist() == [20, 2, 2]
    assert np.array_equal(kept, helpers.subset(labels, {"a": 20, "b": 1, "c": 0}, 0))
    few, names = helpers.without_singletons((AnnData(np.zeros((4, 1))), np.array([*"aabc"])))
    assert names.tolist() == ["a", "a"] and few.n_obs == 2
