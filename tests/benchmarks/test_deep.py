"""Synthetic deep cells are what they say, and ``deep.py`` runs on them and on a user's file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse as sp

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SIZES = {"cells": 240, "genes": 150, "peaks": 400, "expressed": 30, "accessible": 40}
TINY = [f"--{name}={number}" for name, number in SIZES.items()]
QUICK = ["--seeds", "0", "--max-epochs", "1"]


@pytest.fixture(scope="module")
def drawn():
    sys.path.insert(0, str(BENCHMARKS))
    from _deep_cells import DeepCells

    yield DeepCells(600, 400, 1500, expressed=60, accessible=120, seed=3)
    sys.path.remove(str(BENCHMARKS))


def test_cells_have_the_depth_that_was_asked_for(drawn):
    for name, wanted in (("rna", 60), ("atac", 120)):
        counts = drawn.mdata[name].X
        assert np.median(np.diff(counts.indptr)) == pytest.approx(wanted, rel=0.15)
    assert set(np.unique(drawn.mdata["atac"].X.data)) == {1.0}
    assert drawn.mdata["rna"].X.max() > 5


def test_the_truth_is_calibrated(drawn):
    cells = np.arange(600)
    probability = drawn.accessibility(cells)
    assert probability.min() >= 0
    assert probability.max() <= 1
    opened = drawn.mdata["atac"].X.toarray()
    for low, high in ((0, 0.05), (0.05, 0.15), (0.15, 1)):
        some = (probability >= low) & (probability < high)
        assert opened[some].mean() == pytest.approx(probability[some].mean(), rel=0.05)


def test_what_rna_can_tell_is_less_than_the_truth(drawn):
    from scmomer import metrics

    cells, opened = np.arange(600), drawn.mdata["atac"].X
    known = np.array([0, 1, 2])
    every, shared = (drawn.accessibility(cells, part) for part in (None, known))
    scores = [metrics.peak_auroc(opened, values) for values in (every, shared)]
    assert scores[0] > scores[1] + 0.01 > 0.55
    measured = np.log2(1 + drawn.mdata["rna"].X.toarray())
    every, shared = (drawn.expression(cells, 100.0, part, n_draws=3) for part in (None, known))
    found = [
        metrics.predict_modality(measured, v)["mean_pearson_per_gene"] for v in (every, shared)
    ]
    assert found[0] > found[1] > 0.05


def test_peaks_follow_the_genes_that_they_are_linked_to(drawn):
    linked = drawn.mdata["atac"].var["linked_gene"]
    peak = np.flatnonzero(linked.notna())
    gene = drawn.mdata["rna"].var_names.get_indexer(linked.iloc[peak])
    cells = np.arange(600)
    rates = {m: drawn._log_rates(m, cells, np.array([0])) for m in ("rna", "atac")}
    shifted = np.roll(gene, 7)
    own = _correlation(rates["rna"][:, gene], rates["atac"][:, peak])
    assert own > _correlation(rates["rna"][:, shifted], rates["atac"][:, peak]) + 0.3
    at = drawn.mdata["rna"].var.iloc[gene]
    chrom = drawn.mdata["atac"].var_names[peak].str.split(":").str[0]
    assert (at["chrom"].astype(str).to_numpy() == chrom).all()


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    return float(((x * y).sum(0) / np.linalg.norm(x, axis=0) / np.linalg.norm(y, axis=0)).mean())


def run(tmp_path: Path, *options: str) -> dict:
    path = tmp_path / "deep.json"
    command = [sys.executable, BENCHMARKS / "deep.py", *QUICK, *options, "--json", path]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(path.read_text())


@pytest.mark.benchmarks
def test_all_methods_are_scored_on_synthetic_cells(tmp_path):
    report = run(tmp_path, *TINY)
    (found,) = report["runs"]
    assert {"scMomer", "linear, rank 64, on PCs", "MLP on genes"} <= set(found["accessibility"])
    constant = found["accessibility"]["train mean"]
    assert constant["auroc"] == 0.5
    truth = found["accessibility"]["generating probabilities (oracle)"]
    assert truth["auroc"] == max(scores["auroc"] for scores in found["accessibility"].values())
    rates = found["expression"]["generating rates (oracle)"]
    assert rates["rmse"] == min(scores["rmse"] for scores in found["expression"].values())
    assert "scMomer, both, measured_gain=False" in found["embedding"]
    assert report["summary"]["synthetic"]["embedding"]["scMomer, both"]["ari"][1] is not None
    # What is there is not run again.
    written = (tmp_path / "deep.json").stat().st_mtime_ns
    assert run(tmp_path, *TINY)["runs"] == report["runs"]
    assert (tmp_path / "deep.json").stat().st_mtime_ns == written


@pytest.mark.benchmarks
def test_a_file_of_10x_without_batches_or_labels(tmp_path, drawn):
    path = tmp_path / "some_filtered.h5"
    write_10x(path, drawn)
    report = run(tmp_path, "--h5", str(path))
    (found,) = report["runs"]
    assert found["data"] == "some_filtered"
    assert found["train_cells"] == 450
    assert found["test_cells"] == 150
    assert "what RNA can tell (oracle)" not in found["accessibility"]
    assert 0 < found["embedding"]["50 RNA PCs"]["accuracy"] <= 1


def write_10x(path: Path, drawn) -> None:
    """Write a matrix as Cell Ranger ARC does."""
    rna, atac = drawn.mdata["rna"], drawn.mdata["atac"]
    counts = sp.hstack([rna.X, atac.X]).tocsr().astype(np.int32)
    names = [*rna.var_names, *atac.var_names]
    kinds = ["Gene Expression"] * rna.n_vars + ["Peaks"] * atac.n_vars
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(drawn.mdata.obs_names, dtype="S")
        group["data"], group["indices"], group["indptr"] = (
            counts.data,
            counts.indices,
            counts.indptr,
        )
        group["shape"] = np.array(counts.shape[::-1])
        features = group.create_group("features")
        columns = {"id": names, "name": names, "feature_type": kinds, "genome": ["hg"] * len(names)}
        for column, values in columns.items():
            features[column] = np.array(values, dtype="S")
