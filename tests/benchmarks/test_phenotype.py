"""Benchmarks of conditions, donors and confidence: folds, scores, summaries, a small run."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmomer.datasets import synthetic

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts():
    """The benchmarks as modules."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import confidence
        import phenotype

        yield SimpleNamespace(phenotype=phenotype, confidence=confidence)
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def cells() -> AnnData:
    """RNA with types and two conditions."""
    mdata = synthetic(90, 60, 60)
    rna = mdata["rna"].copy()
    rna.obs = pd.DataFrame({"cell_type": mdata.obs["cell_type"].astype(str)}, index=rna.obs_names)
    rna.obs["condition"] = np.where(np.arange(90) % 2, "x", "y")
    return rna


def test_folds_are_disjoint_and_stratified(scripts):
    labels = np.repeat(["a", "b"], [50, 100])
    found = list(scripts.phenotype.folds(labels, [0, 2]))
    assert [number for number, _, _ in found] == [0, 2]
    assert not set(found[0][2]) & set(found[1][2])
    for _, known, test in found:
        assert len(known) + len(test) == 150 and not set(known) & set(test)
        assert np.unique(labels[test], return_counts=True)[1].tolist() == [10, 20]


def test_scores_are_macro_means(scripts):
    found = pd.DataFrame(np.eye(2)[[0, 0, 1, 1]], columns=["a", "b"])
    scores = scripts.phenotype.score(found, np.array([*"aaab"]))
    assert scores["accuracy"] == 0.75
    assert scores["precision"] == pytest.approx((1 + 1 / 2) / 2)
    assert scores["recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    known = scripts.confidence.score(found, np.array([*"aaab"]))
    assert known["expected_calibration_error"] == known["overconfidence"] == 0.25


def test_summaries_are_means_over_folds(scripts):
    part = lambda value: {"method": {"accuracy": value}}
    runs = [
        {"data": "kang", "told": part(v), "clusters": part(1.0), "setting": "known"}
        for v in (0.2, 0.4)
    ]
    found = scripts.phenotype.summarize(runs)["kang"]
    assert found["folds"] == 2
    assert found["told"]["method"]["accuracy"] == pytest.approx([0.3, 0.1])
    runs = [{"setting": "known", "methods": part(v)} for v in (0.2, 0.4)]
    found = scripts.confidence.summarize(runs)["known"]["method"]["accuracy"]
    assert found == pytest.approx([0.3, 0.1])


@pytest.mark.benchmarks
def test_every_method_is_scored(scripts, cells, monkeypatch):
    groups = {"type": "cell_type", "condition": "condition"}
    one = scripts.phenotype.DataSet(lambda: cells, "condition", groups)
    monkeypatch.setitem(scripts.phenotype.DATA_SETS, "small", one)
    args = Namespace(models=None, max_epochs=1)
    ((_, *split),) = scripts.phenotype.folds(cells.obs["condition"].to_numpy(), [0])
    found = scripts.phenotype.one_fold("small", cells, tuple(split), 0, args)
    assert len(found["told"]) == 7 and len(found["clusters"]) == 3
    for scores in found["told"].values():
        assert all(0 <= scores[k] <= 1 for k in ("accuracy", "precision", "recall", "f1"))
    assert found["clusters"]["50 PCs"].keys() == found["clusters"]["scMomer"].keys()
    train, test = cells[split[0]].copy(), cells[split[1]].copy()
    known = scripts.confidence.known(train, test, 0, args)
    assert all(0 <= s["expected_calibration_error"] <= 1 for s in known.values())
    new = cells.obs["cell_type"].iloc[split[1][0]]
    unknown = scripts.confidence.unknown(train, test, new, 0, args)
    assert "scMomer, novelty" in unknown
    assert all(0 <= s["auroc"] <= 1 for s in unknown.values())
