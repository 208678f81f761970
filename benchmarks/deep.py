"""Translation and embedding of deep cells, against simple opponents and the truth.

    python benchmarks/deep.py [--seeds 0 1 2] [--models DIR] [--multivi 100]
    python benchmarks/deep.py --h5 filtered_feature_bc_matrix.h5 [--batch-key KEY] [--json PATH]
    python benchmarks/deep.py --h5mu FILE --parts accessibility expression

Synthetic cells in proportion to 10x Multiome: a fifth of 20,000 genes and an eighth of 96,000 peaks,
and the same share of them seen in a cell. The last of four batches is unseen. Data and models have
the seed. With a file, all of it on its cells: the last batch is unseen, or a quarter of the cells;
without ``--labels-key`` Leiden clusters of RNA stand for cell types, which favors RNA. The JSON is
written after each run; runs that it has are not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import scvi
from _deep_opponents import accessibility, embeddings, expression
from _deep_sources import Deep, from_file, synthetic
from _held_out import classify, score_embedding, score_profile, score_translation
from _multivi import run_multivi
from _quality import Scores, kept_model, measured, standard_error
from _report import write_runs
from mudata import MuData

import scmomer
from scmomer import metrics
from scmomer.train.fits import fit_shrinkage

PARTS = ("accessibility", "expression", "embedding")
SHALLOW_SHARE = 0.35  # the default of shallow cells
OF_RNA = ("rmse", "mean_pearson_per_gene", "mean_pearson_per_cell")


def arguments() -> Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    for name, number in {
        "cells": 3000,
        "genes": 4000,
        "peaks": 12_000,
        "expressed": 600,
        "accessible": 960,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=number, help="of synthetic cells")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--h5", type=Path, help="10x Multiome, filtered_feature_bc_matrix.h5")
    source.add_argument("--h5mu", type=Path, help="MuData with the modalities rna and atac")
    parser.add_argument("--name", help="of the data in results; default the file's")
    parser.add_argument("--batch-key", help="column of obs")
    parser.add_argument("--labels-key", help="column of obs")
    parser.add_argument("--max-epochs", type=int, help="of every stage, for a quick run")
    parser.add_argument("--models", type=Path, help="folder to read and write trained models")
    parser.add_argument("--multivi", type=int, help="epochs of MULTIVI, as a further opponent")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/deep.json"))
    return parser.parse_args()


def train(data: Deep, seed: int, args: Namespace) -> tuple[Any, Scores]:
    """Return scMomer with its defaults, and its cost."""

    def fit() -> Any:
        scvi.settings.seed = seed
        scmomer.pp.setup_mudata(data.train, batch_key=data.batch_key)
        model = scmomer.SCMOMER(data.train)
        model.train(args.max_epochs, enable_progress_bar=False)
        return model

    path = None if args.models is None else args.models / f"{data.name}_{seed}.scmomer"
    return kept_model(path, lambda: measured(fit))


def scored(
    predictors: dict[str, Callable[[], np.ndarray]], score: Callable[[np.ndarray], Scores]
) -> dict[str, Scores]:
    """Run, score and print each."""
    found = {}
    for name, predict in predictors.items():
        values, cost = measured(predict)
        found[name] = score(np.asarray(values, np.float32)) | {"core_seconds": cost["core_seconds"]}
        print(f"  {name}: { ({k: round(v, 4) for k, v in found[name].items()}) }", flush=True)
    return found


def of_accessibility(
    data: Deep, model: Any, cost: Scores, rival: dict[str, Any] | None, seed: int
) -> dict[str, Scores]:
    """Score translations of RNA into ATAC."""
    truth, labels = data.test["atac"].X, data.labels(data.test)
    opened = (truth > 0).astype(np.float32)

    def score(values: np.ndarray) -> Scores:
        fit = metrics.calibration(opened, np.clip(values, 0, 1))
        return {
            **score_translation(truth, values, labels),
            "average_precision": metrics.peak_average_precision(truth, values),
            **score_profile(values, labels),
            "calibration_error": fit["expected_calibration_error"],
            "brier": fit["brier"],
        }

    ours = {
        "scMomer": lambda: model.get_translated(data.test["rna"]),
        f"scMomer, {SHALLOW_SHARE} of the predicted depth": lambda: model.get_translated(
            data.test["rna"], depth_share=SHALLOW_SHARE
        ),
        "scMomer, at mean depth": lambda: model.get_translated(data.test["rna"], depth="mean"),
    }
    found = scored(ours | accessibility(data, seed), score)
    for name in ours:  # including training
        found[name]["core_seconds"] += cost.get("core_seconds", float("nan"))
    if rival is not None:
        found["MULTIVI"] = score(rival["translated"]) | {"core_seconds": rival["core_seconds"]}
    return found


def of_expression(data: Deep, model: Any, seed: int) -> dict[str, Scores]:
    """Score translations of ATAC into RNA."""
    truth, predictors = expression(data, model.target_sum, seed)

    def score(values: np.ndarray) -> Scores:
        found = metrics.predict_modality(truth, values)
        return {key: found[key] for key in OF_RNA}

    ours = {"scMomer": lambda: model.get_translated(data.test["atac"], to="rna")}
    return scored(ours | predictors, score)


def of_embedding(
    data: Deep, model: Any, rival: dict[str, Any] | None, seed: int
) -> dict[str, Scores]:
    """Score embeddings of unseen cells, with measured ATAC used in three ways."""
    test, labels, module = data.test, data.labels(data.test), model.module
    is_on = module.config.measured_gain  # by default, in cells of this depth

    def both(gain: str) -> np.ndarray:
        config, even = module.config, module.even_depth.clone()
        module.config = replace(config, measured_gain=gain != "off")
        if gain == "one":
            module.even_depth.zero_()
        elif gain == "fitted" and not is_on:  # the model did without
            cells = model._read_cells(data.train, {})
            fit_shrinkage(module, cells, model._split.draw(cells.n_cells), seed)
        try:
            return model.get_latent_representation(test)
        finally:
            module.config = config
            module.even_depth.copy_(even)

    ways = {
        "scMomer, both": lambda: both("fitted" if is_on else "off"),
        "scMomer, RNA only": lambda: model.get_latent_representation(test["rna"]),
        "scMomer, ATAC only": lambda: model.get_latent_representation(test["atac"]),
        f"scMomer, both, measured_gain={not is_on}": lambda: both("off" if is_on else "fitted"),
        "scMomer, both, refined, ATAC not shrunk": lambda: both("one"),
    }
    if rival is not None:
        ways["MULTIVI, RNA only"] = lambda: rival["embedded"]
    return scored(
        ways | embeddings(data), lambda z: score_embedding(z, labels) | classify(z, labels)
    )


def multivi(args: Namespace, data: Deep, seed: int) -> dict[str, Any] | None:
    """Train MULTIVI with the RNA of unseen cells; their batch is one of its own."""
    if args.multivi is None:
        return None
    parts = [data.train.copy(), data.test.copy()]
    for part, name in zip(parts, ("seen", "unseen"), strict=True):
        if data.batch_key is None:
            part.obs["batch"] = name
    mdata = _stacked(*parts)
    unseen = "+".join(sorted(set(parts[1].obs["batch"].astype(str))))
    return run_multivi(mdata, unseen, seed, args.multivi, args.models, name=f"_{data.name}")


def _stacked(first: MuData, second: MuData) -> MuData:
    """Return the cells of both."""
    found = MuData(
        {m: anndata.concat([first[m], second[m]], merge="first") for m in ("rna", "atac")}
    )
    batches = [part.obs["batch"].astype(str).to_numpy() for part in (first, second)]
    found.obs["batch"] = np.concatenate(batches)
    return found


def run(data: Deep, seed: int, args: Namespace) -> dict[str, Any]:
    """Train and score one seed."""
    print(data.name, seed, data.train.shape, data.median_depth, flush=True)
    model, cost = train(data, seed, args)
    print(f"  trained: {cost}", flush=True)
    rival = multivi(args, data, seed)
    found: dict[str, Any] = {
        "data": data.name,
        "seed": seed,
        "train_cells": data.train.n_obs,
        "test_cells": data.test.n_obs,
        "genes": data.train["rna"].n_vars,
        "peaks": data.train["atac"].n_vars,
        "median_depth": data.median_depth,
        "command": " ".join(["python", *sys.argv]),
    }
    if "accessibility" in args.parts:
        found["accessibility"] = of_accessibility(data, model, cost, rival, seed)
    if "expression" in args.parts:
        found["expression"] = of_expression(data, model, seed)
    if "embedding" in args.parts:
        found["embedding"] = of_embedding(data, model, rival, seed)
    return found


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard error over seeds, by data, part and method."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(r["data"] for r in runs):
        some = [r for r in runs if r["data"] == name]
        found[name] = {
            part: {
                method: {
                    key: [float(np.mean(values)), standard_error(values)]
                    for key in scores
                    for values in [[r[part][method][key] for r in some]]
                }
                for method, scores in some[0][part].items()
                if all(method in r[part] for r in some)
            }
            for part in PARTS
            if all(part in r for r in some)
        }
    return found


def main() -> None:
    """Run all seeds."""
    args = arguments()
    report = json.loads(args.json.read_text()) if args.json.exists() else {}
    runs = report.get("runs", [])
    read = synthetic if args.h5 is None and args.h5mu is None else from_file
    for seed in args.seeds:
        data = read(args, seed)
        if any((r["data"], r["seed"]) == (data.name, seed) for r in runs):
            continue
        runs.append(run(data, seed, args))
        write_runs(args.json, runs, summarize(runs))


if __name__ == "__main__":
    main()
