"""Encoders of deep cells: thinning, hidden entries, and scores with known answers."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import scvi

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts():
    """The parts of the benchmark as modules."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import _deep_encoder_cells
        import _deep_encoder_scores
        import _deep_encoder_training
        import deep_encoder

        yield SimpleNamespace(
            cells=_deep_encoder_cells,
            scores=_deep_encoder_scores,
            training=_deep_encoder_training,
            main=deep_encoder,
        )
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def counts():
    """Two types of cells, told apart by halves of the genes."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 60)
    rates = np.where((labels == "a")[:, None] == (np.arange(40) < 20), 4.0, 0.5)
    return sp.csr_matrix(rng.poisson(rates).astype(np.float32)), labels


@pytest.fixture
def task(scripts, counts, monkeypatch):
    """A split of these cells."""
    monkeypatch.setattr(scvi.settings, "seed", 0)
    monkeypatch.setattr(scripts.main, "read", lambda name: counts)
    monkeypatch.setattr(
        scripts.main, "HIDDEN", 0.5
    )  # enough of them in a cell for a rank correlation
    return scripts.main.prepare("any", 0, 70, 50, 30)


def test_split_is_disjoint_and_keeps_variable_genes(scripts, counts):
    found = scripts.cells.split(*counts, 0, n_train=70, n_test=50, n_genes=30)
    assert found.train.shape == (70, 30) and found.test.shape == (50, 30)
    ids = sp.csr_matrix(np.arange(1, 121, dtype=np.float32)[:, None])
    parts = scripts.cells.split(ids, counts[1], 0, n_train=70, n_test=50, n_genes=1)
    assert not set(parts.train.data) & set(parts.test.data)


def test_thinned_cells_keep_a_share_of_their_counts(scripts, counts):
    thinned = scripts.cells.thin(counts[0], 0.25, 0)
    assert thinned.sum() / counts[0].sum() == pytest.approx(0.25, abs=0.02)
    assert (counts[0] - thinned).min() >= 0 and (thinned.data > 0).all()
    shares = np.repeat([0.0, 1.0], 60)
    halves = scripts.cells.thin(counts[0], shares, 0)
    assert halves[:60].nnz == 0 and (halves[60:] != counts[0][60:]).nnz == 0


def test_a_perfect_prediction_of_hidden_entries_scores_one(task):
    entries = task.entries
    perfect = entries.score(entries.value)
    assert perfect["spearman_within_cells"] == pytest.approx(1)
    constant = entries.score(np.zeros(len(entries.value)))
    assert constant["spearman_within_cells"] == constant["spearman_within_genes"] == 0
    assert perfect["cross_entropy"] < constant["cross_entropy"]


def test_probe_tells_separate_types(scripts):
    labels = np.repeat(["a", "b"], 30)
    features = (labels == "a")[:, None] + np.zeros((60, 2))
    found = scripts.scores.probe(features, labels, {"": features, "_x": 1 - features}, labels, 0)
    assert found["accuracy_5"] == found["macro_f1_all"] == 1
    assert found["accuracy_all_x"] == 0


@pytest.mark.parametrize("encoder", ["mlp", "performer"])
def test_hidden_counts_are_not_read(scripts, task, encoder):
    module = scripts.training.build(task.cells.train, encoder, 0).eval()
    before = scripts.training.predict_hidden(module, task.cells.test, task.hidden)
    other = task.cells.test.copy()
    other.data[task.hidden] += 7
    after = scripts.training.predict_hidden(module, other, task.hidden)
    np.testing.assert_allclose(after.decoded, before.decoded, atol=1e-5)
    if encoder == "performer":
        np.testing.assert_allclose(after.log_bins, before.log_bins, atol=1e-5)
        assert np.exp(after.log_bins).sum(1).max() <= 1 + 1e-6
    else:
        assert before.log_bins is None


def test_rows_are_scored(scripts, task):
    recipe = scripts.training.Recipe(0.1, thinnest=0.5, contrast=0.1)
    found = scripts.main.with_network(task, "performer", recipe)
    assert set(found) == {"", "mean of tokens", "masked-gene head"}
    assert all(np.isfinite(v) for scores in found.values() for v in scores.values())
    simple = scripts.main.without_network(task)
    assert {"log expression", "components", "mean of the gene"} <= simple.keys()
    assert simple["components"]["accuracy_all"] > 0.9


def test_summary_is_mean_and_error_over_seeds(scripts):
    runs = [{"data": "d", "scores": {"x": {"accuracy": v}}} for v in (0.2, 0.4)]
    assert scripts.main.summarize(runs)["d"]["x"]["accuracy"] == pytest.approx([0.3, 0.1, 2])
