"""scMomer's defaults against MULTIVI on SNARE-seq: training time and quality, in one run.

    python benchmarks/multivi.py [--batches 09F+09H] [--epochs 100] [--seed 0]
        [--models DIR] [--json PATH]

Some batches are held out. MULTIVI trains on all cells, with the accessibility of held-out cells
hidden (it cannot embed new cells without training on them). scMomer trains on the other cells and
then embeds the RNA of held-out cells. Both are scored on the held-out cells. scMomer is also timed
on all cells, so that training times are of the same number of cells. With fewer ``--epochs``, the
time of 100 epochs is extrapolated.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import scvi
from _held_out import classify, hold_out, score_embedding, score_profile, score_translation
from _measure import machine, versions
from _multivi import run_multivi
from _report import write_report
from mudata import MuData

import scmomer


def score(
    truth: sp.csr_matrix, translated: np.ndarray, embedded: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Return all metrics of one method on the held-out cells."""
    return {
        **score_translation(truth, translated, labels),
        **score_profile(translated, labels),
        **{f"embedding_{k}": v for k, v in score_embedding(embedded, labels).items()},
        **{f"embedding_{k}": v for k, v in classify(embedded, labels).items()},
    }


def train_scmomer(mdata: MuData) -> tuple[scmomer.SCMOMER, float]:
    """Train with the defaults; return the model and the seconds from data to model."""
    started = time.perf_counter()
    scmomer.pp.setup_mudata(mdata, batch_key="batch")
    model = scmomer.SCMOMER(mdata)
    model.train(enable_progress_bar=False)
    return model, time.perf_counter() - started


def run_scmomer(mdata: MuData, batches: str, seed: int) -> dict[str, Any]:
    """Return quality without the held-out cells, time with and without them."""
    scvi.settings.seed = seed
    train, query = hold_out(mdata, batches)
    labels = query.obs["cell_subtype"].astype(str).to_numpy()
    model, seconds = train_scmomer(train)
    scores = score(
        query["atac"].X,
        model.get_translated(query["rna"]),
        model.get_latent_representation(query["rna"]),
        labels,
    )
    del model
    return {
        "seconds": train_scmomer(mdata.copy())[1],
        "seconds_without_held_out": seconds,
        **scores,
    }


def score_multivi(mdata: MuData, args: argparse.Namespace) -> dict[str, Any]:
    """Train on all cells without held-out accessibility; return time and quality."""
    found = run_multivi(mdata, args.batches, args.seed, args.epochs, args.models)
    test = hold_out(mdata, args.batches)[1]
    labels = test.obs["cell_subtype"].astype(str).to_numpy()
    return {
        "seconds": found["seconds"],
        "epochs": found["epochs"],
        "seconds_of_100_epochs": 100 * found["seconds"] / found["epochs"],
        **score(test["atac"].X, found["translated"], found["embedded"], labels),
    }


def main() -> None:
    """Run both, print the table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", default="09F+09H", help="held out together")
    parser.add_argument("--epochs", type=int, default=100, help="of MULTIVI")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=Path, help="folder of MULTIVI results")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/multivi.json"))
    args = parser.parse_args()
    mdata = scmomer.datasets.snareseq_cortex()
    found = {"scMomer": run_scmomer(mdata, args.batches, args.seed)}
    print(found, flush=True)
    found["MULTIVI"] = score_multivi(mdata, args)
    report = {
        "command": " ".join(["python", "benchmarks/multivi.py", *sys.argv[1:]]),
        "machine": machine("cpu"),
        "versions": versions("scmomer", "scvi-tools", "torch", "scanpy"),
        "cells": mdata.n_obs,
        "methods": found,
        "time_ratio": found["MULTIVI"]["seconds_of_100_epochs"] / found["scMomer"]["seconds"],
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    write_report(args.json, report)
    for key in found["MULTIVI"]:
        print(f"{key:24s}" + "".join(f"{m.get(key, float('nan')):12.3f}" for m in found.values()))
    print(f"scMomer trains {report['time_ratio']:.1f} times faster than 100 epochs of MULTIVI")


if __name__ == "__main__":
    main()
