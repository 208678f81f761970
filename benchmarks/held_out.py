"""The demo's comparison over several held-out batches and seeds: the rows of the README.

Each run trains scMomer with its defaults on nine SNARE-seq batches and scores RNA-only cells of
the tenth beside the baselines. Prints mean and standard deviation and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scvi
from _held_out import compare_embeddings, compare_translations, hold_out

import scmomer

Scores = dict[str, dict[str, float]]


def run(batch: str, seed: int) -> dict[str, Scores | float | str | int]:
    """Train without `batch` and score on it."""
    scvi.settings.seed = seed
    train, query = hold_out(scmomer.datasets.snareseq_cortex(), batch)
    scmomer.pp.setup_mudata(train, batch_key="batch")
    started = time.perf_counter()
    model = scmomer.SCMOMER(train)
    model.train(enable_progress_bar=False)
    seconds = time.perf_counter() - started
    labels = query.obs["cell_subtype"].astype(str).to_numpy()
    translated = model.get_translated(query["rna"])
    embedded = model.get_latent_representation(query["rna"])
    return {
        "batch": batch,
        "seed": seed,
        "n_cells": query.n_obs,
        "train_seconds": seconds,
        "translation": compare_translations(train, query, translated, labels),
        "embedding": compare_embeddings(train, query, embedded, labels),
    }


def summarise(runs: list, part: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Return mean and standard deviation over runs of each method's scores."""
    return {
        method: {
            key: (
                float(np.mean([r[part][method][key] for r in runs])),
                float(np.std([r[part][method][key] for r in runs])),
            )
            for key in scores
        }
        for method, scores in runs[0][part].items()
    }


def main() -> None:
    """Run all, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    # No choice in scmomer was made on these batches.
    parser.add_argument("--batches", nargs="+", default=["09B", "09F", "09G", "09H"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/held_out.json"))
    args = parser.parse_args()
    runs = []
    for batch in args.batches:
        for seed in args.seeds:
            runs.append(run(batch, seed))
            print(batch, seed, runs[-1]["translation"]["scMomer"], flush=True)
            print(batch, seed, runs[-1]["embedding"], flush=True)
    report = {
        "command": " ".join(["python", "benchmarks/held_out.py", *sys.argv[1:]]),
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {p: version(p) for p in ("scmomer", "scvi-tools", "torch", "scanpy")},
        "summary": {part: summarise(runs, part) for part in ("translation", "embedding")},
        "runs": runs,
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=1))
    for part, methods in report["summary"].items():
        print(f"\n| {part} | " + " | ".join(next(iter(methods.values()))) + " |")
        for method, scores in methods.items():
            cells = " | ".join(f"{m:.3f} ± {s:.3f}" for m, s in scores.values())
            print(f"| {method} | {cells} |")


if __name__ == "__main__":
    main()
