"""Translation of unseen batches in both directions, against simple baselines.

    python benchmarks/translation.py [--folds 09F+09H ...] [--seeds 0 1 2] [--models DIR]
        [--multivi 100]

RNA -> ATAC and ATAC -> RNA on SNARE-seq, leave-batches-out: scMomer with its defaults, opponents on
the same cells in the same run. Mean and standard error over folds and seeds, time and memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _baselines as baselines
import numpy as np
import scipy.sparse as sp
from _held_out import score_profile, score_translation
from _quality import (
    Scores,
    data,
    finish,
    measured,
    multivi,
    parser,
    perceptron,
    trained,
    write,
)
from mudata import MuData

from scmomer import metrics
from scmomer.metrics._correlation import spearman_columns

Predictors = dict[str, Callable[[], np.ndarray]]


def score_atac(truth: sp.csr_matrix, score: np.ndarray, labels: np.ndarray) -> Scores:
    """Return scores of ranking within peaks, of types, profile clusters and calibration."""
    opened = (truth > 0).astype(np.float32)
    probability = np.clip(score, 0, 1)
    fit = metrics.calibration(opened, probability)
    return {
        **score_translation(truth, score, labels),
        "average_precision": metrics.peak_average_precision(truth, score),
        **score_profile(score, labels),
        "flattened_auroc": metrics.flattened_auroc(opened, score),
        "calibration_error": fit["expected_calibration_error"],
        "brier": fit["brier"],
    }


def seedless_predictors(train: MuData, test: MuData) -> Predictors:
    """Return predictors of accessibility without a seed, or for which one seed is enough."""
    rna, atac, query = train["rna"].X, train["atac"].X, test["rna"].X
    types, labels = (m.obs["cell_subtype"].astype(str).to_numpy() for m in (train, test))
    return {
        "train mean": lambda: baselines.train_mean(rna, atac, query),
        "true type's mean (oracle)": lambda: baselines.cell_type_mean(atac, types, labels),
        "kNN, 50 cells": lambda: baselines.knn(rna, atac, query, k=50),
        "kNN, 200 cells": lambda: baselines.knn(rna, atac, query, k=200),
        "linear, rank 64, on 50 PCs": lambda: baselines.linear(rna, atac, query),
        "MLP on 50 PCs": lambda: baselines.perceptron(rna, atac, query, features="pcs")[0],
    }


def scored(predictors: Predictors, test: MuData) -> dict[str, Scores]:
    """Run and score predictors of accessibility, and print each."""
    labels = test.obs["cell_subtype"].astype(str).to_numpy()
    found = {}
    for name, predict in predictors.items():
        values, spent = measured(predict)
        found[name] = {**score_atac(test["atac"].X, values, labels), **spent}
        print(f"  {name}: {found[name]}", flush=True)
    return found


def to_atac(
    test: MuData,
    model: Any,
    cost: Scores,
    mlp: dict[str, Any],
    rival: dict[str, Any] | None,
    seedless: dict[str, Scores],
) -> dict[str, Scores]:
    """Score methods that depend on a seed; add those of :func:`seedless_predictors`."""
    ours = {
        "scMomer": lambda: model.get_translated(test["rna"]),
        "scMomer, at mean depth": lambda: model.get_translated(test["rna"], depth="mean"),
    }
    of_ours = scored(ours, test)
    for scores in of_ours.values():  # including training
        scores["core_seconds"] += cost["core_seconds"]
        scores["peak_mb"] = max(scores["peak_mb"], cost["peak_mb"])
    found = {**of_ours, **seedless}
    labels = test.obs["cell_subtype"].astype(str).to_numpy()
    kept = {"MLP on genes, dropout 0.5": (mlp, mlp["probability"])}
    if rival is not None:
        kept["MULTIVI"] = (rival, rival["translated"])
    for name, (made, values) in kept.items():
        costs = {key: made[key] for key in ("core_seconds", "peak_mb")}
        found[name] = score_atac(test["atac"].X, values, labels) | costs
    return found


def spread(test: MuData, model: Any) -> dict[str, Scores]:
    """Correlate the heads' standard deviation, and the probability, with the error.

    Rank correlations over the peaks of each cell, dominated by peak frequency, and over the cells
    of each peak with at least 10 open cells.
    """
    truth = test["atac"].X > 0
    peaks = np.flatnonzero(np.asarray(truth.sum(0)).ravel() >= 10)
    some = np.arange(0, test.n_obs, max(1, test.n_obs // 200))
    values, std = model.get_translated(test["rna"], indices=some, uncertainty=True)
    error = np.abs(values - truth[some].toarray())
    over_peaks = metrics.predict_modality(error, std)["mean_spearman_per_cell"]
    names = test["atac"].var_names[peaks]
    values, std = model.get_translated(test["rna"], features=names, uncertainty=True)
    error = np.abs(values - truth[:, peaks].toarray())
    return {
        "scMomer": {
            "spearman_over_peaks_of_a_cell": over_peaks,
            "spearman_over_cells_of_a_peak": float(spearman_columns(error, std).mean()),
            "the_same_of_the_probability": float(spearman_columns(error, values).mean()),
            "mean_std": float(std.mean()),
        }
    }


def ceiling(test: MuData, model: Any, mlp: dict[str, Any]) -> dict[str, Scores]:
    """Return the largest correlation that the noise of measured profiles allows."""
    labels = test.obs["cell_subtype"].astype(str)
    several = (labels.map(labels.value_counts()) > 1).to_numpy()
    truth, labels = test["atac"].X[several], labels.to_numpy()[several]
    predictions = {
        "scMomer": model.get_translated(test["rna"]),
        "MLP on genes, dropout 0.5": mlp["probability"],
    }
    found = {
        name: metrics.pseudobulk_pearson(truth, values[several], labels)
        for name, values in predictions.items()
    }
    found = {
        "a prediction without error (oracle)": metrics.pseudobulk_ceiling(truth, labels),
        **found,
    }
    return {name: {"pseudobulk_pearson": value} for name, value in found.items()}


def to_rna(train: MuData, test: MuData, model: Any) -> dict[str, Scores]:
    """Score all predictors of log expression from accessibility (log2, the model's target)."""
    scale = model.target_sum
    rna = baselines.log_normalize(train["rna"].X, scale) / np.float32(np.log(2))
    truth = (baselines.log_normalize(test["rna"].X, scale) / np.float32(np.log(2))).toarray()
    known, query = baselines.lsi(train["atac"].X, test["atac"].X)
    predictors = {
        "scMomer": lambda: model.get_translated(test["atac"], to="rna"),
        "train mean": lambda: np.repeat(np.asarray(rna.mean(0)), len(truth), 0),
        "kNN, 50 cells": lambda: baselines.neighbor_mean(known, rna, query, 50),
        "kNN, 200 cells": lambda: baselines.neighbor_mean(known, rna, query, 200),
        "linear on 50 LSI": lambda: baselines.least_squares(known, rna, query),
    }
    keys = ("rmse", "mean_pearson_per_gene", "mean_pearson_per_cell")
    found = {}
    for name, predict in predictors.items():
        scores = metrics.predict_modality(truth, np.asarray(predict(), dtype=np.float32))
        found[name] = {key: scores[key] for key in keys}
    return found


def main() -> None:
    """Run all folds and seeds."""
    command = parser(__doc__, "translation.json")
    command.add_argument("--to", nargs="+", choices=["atac", "rna"], default=["atac", "rna"])
    args = command.parse_args()
    runs, seedless = [], {}
    for fold in args.folds:
        for seed in args.seeds:
            train, test = data(fold, args.cells)
            model, seconds, mb = trained(train, fold, seed, args.models, args.max_epochs)
            print(fold, seed, f"{seconds:.0f} s", flush=True)
            cost = {"core_seconds": seconds, "peak_mb": mb}
            found = {}
            if "atac" in args.to:
                if fold not in seedless:
                    seedless[fold] = scored(seedless_predictors(train, test), test)
                mlp, rival = perceptron(train, test, fold, seed, args), multivi(args, fold)
                found["RNA to ATAC"] = to_atac(test, model, cost, mlp, rival, seedless[fold])
                found["uncertainty"] = spread(test, model)
                found["ceiling"] = ceiling(test, model, mlp)
            if "rna" in args.to:
                found["ATAC to RNA"] = to_rna(train, test, model)
            runs.append({"fold": fold, "seed": seed, "n_cells": test.n_obs, **found})
            write(args, runs, tuple(found))
    finish(args, runs, tuple(found))


if __name__ == "__main__":
    main()
