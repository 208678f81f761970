"""The annotation benchmark runs on a few cells; its helpers do what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

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
    """The benchmarks as modules."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import _counts
        import annotation
        import rna_embedding

        yield SimpleNamespace(**vars(annotation), counts=_counts, embedding=rna_embedding)
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_counts_come_back_from_their_logarithm(helpers):
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.3, (50, 80)).astype(float)
    counts[:, 0] = 1  # every cell has a gene with one count
    lognorm = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    again = helpers.counts.recover_counts(AnnData(sp.csr_matrix(lognorm)))
    assert np.array_equal(again.X.toarray(), counts)
    with pytest.raises(SystemExit, match="whole counts"):
        helpers.counts.recover_counts(AnnData(sp.csr_matrix(rng.random((5, 8)))))


def test_subsets_keep_two_cells_of_each_type(helpers):
    labels = np.repeat(["a", "b", "c"], [100, 10, 2])
    kept = helpers.subset(labels, {"a": 20, "b": 1, "c": 0}, 0)
    assert np.unique(labels[kept], return_counts=True)[1].tolist() == [20, 2, 2]
    assert np.array_equal(kept, helpers.subset(labels, {"a": 20, "b": 1, "c": 0}, 0))
    few, names = helpers.without_singletons((AnnData(np.zeros((4, 1))), np.array([*"aabc"])))
    assert names.tolist() == ["a", "a"] and few.n_obs == 2


def test_embeddings_of_a_query_are_scored_beside_components(helpers):
    rng = np.random.default_rng(0)
    truth = np.repeat([*"ab"], 60)
    counts = rng.poisson(1.0, (120, 70)) + 9 * (truth == "a")[:, None] * (np.arange(70) < 5)
    cells = AnnData(sp.csr_matrix(counts.astype(np.float32)))

    class Model:
        def get_latent_representation(self, data: AnnData) -> np.ndarray:
            return np.asarray(data.X[:, :5].todense())

    reference, query = (cells[::2].copy(), truth[::2]), (cells[1::2].copy(), truth[1::2])
    split = helpers.embedding.RnaSplit("", "0", 0, Model(), reference, query)
    found = {name: (z, of_query) for name, z, of_query in helpers.embedding.embeddings(split)}
    assert list(found) == ["scMomer", "50 PCs", "50 PCs, scaled"]
    z, of_query = found["scMomer"]
    scores = helpers.embedding.score(z, reference[1], of_query, query[1])
    assert scores["accuracy"] == scores["macro_f1"] == 1 and scores["ari"] > 0.9


def test_seeds_of_a_fold_are_one_value(helpers):
    runs = [
        {"data": "d", "fold": fold, "methods": {"m": {"ari": value}}}
        for fold, value in [("0", 0.1), ("0", 0.3), ("1", 0.6)]
    ]
    mean, error = helpers.embedding.summarize(runs)["d"]["m"]["ari"]
    assert mean == pytest.approx(0.4) and error == pytest.approx(0.2)
