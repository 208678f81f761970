"""Core-seconds of training on a CPU, and what fewer epochs cost.

    OMP_NUM_THREADS=1 python benchmarks/cpu.py deep --name after
    OMP_NUM_THREADS=1 PYTHONPATH=OTHER python benchmarks/cpu.py deep --name before
    OMP_NUM_THREADS=1 python benchmarks/cpu.py epochs --fold 09C+09J --epochs 2/10 1/10 1/7

``deep`` times each stage on synthetic cells with 1,800 expressed genes. ``epochs`` trains on
SNARE-seq without two batches, with so many epochs of fusion and of the bridges, and scores cells of
these batches, RNA only. Times are those of the process, so that other work on the machine counts
little. ``PYTHONPATH`` chooses the scmomer that runs. The JSON is written after every run; runs of
``epochs`` that it already has are not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import scvi
from _deep_cells import deep_cells
from _held_out import classify, score_embedding, score_profile, score_translation
from _measure import machine, versions
from _quality import CHOSEN_ON, UNTOUCHED, data
from _report import write_report
from mudata import MuData

import scmomer

# 640 cells to train on: five full minibatches of the bridges.
_DEEP = {"n_cells": 674, "n_genes": 20_000, "n_peaks": 100_000}
_OPEN = {"expressed": 1800, "accessible": 3600}
_TIMED = {"rna": 1, "atac": 1, "fusion": 1, "bridge": 2}
_FIRST = ("rna", "atac")
_QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


class EpochTimer(pl.Callback):
    """Core-seconds of each epoch, of its training steps and of its validation."""

    def __init__(self) -> None:
        self.train: list[float] = []
        self.validation: list[float] = []
        self.n_steps = 0
        self._start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start, self.n_steps = time.process_time(), 0

    def on_train_batch_end(self, *_: Any) -> None:
        """Count steps."""
        self.n_steps += 1

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note what training took."""
        if not trainer.sanity_checking:
            self.train.append(time.process_time() - self._start)
            self._start = time.process_time()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note what validation took."""
        if not trainer.sanity_checking:
            self.validation.append(time.process_time() - self._start)


def timed_stage(
    model: scmomer.SCMOMER, stage: str, epochs: int | None, lr: float | None = None
) -> dict[str, Any]:
    """Train a stage; return its core-seconds."""
    timer, started = EpochTimer(), time.process_time()
    limit: dict[str, Any] = {} if epochs is None else {"max_epochs": {stage: epochs}}
    if lr is not None:
        limit["plan_kwargs"] = {"lr": lr}
    model.train(stages=[stage], early_stopping=False, callbacks=[timer], **limit, **_QUIET)
    all_seconds = time.process_time() - started
    return {
        "train": timer.train,
        "validation": timer.validation,
        "around": all_seconds - sum(timer.train) - sum(timer.validation),
        "steps": timer.n_steps,
        "cells": len(model.train_indices_),
    }


def deep(seed: int) -> dict[str, Any]:
    """Return core-seconds of each stage on deep cells."""
    scvi.settings.seed = seed
    mdata = deep_cells(**_DEEP, **_OPEN)
    scmomer.pp.setup_mudata(mdata, batch_key="batch")
    model = scmomer.SCMOMER(mdata, size="small")
    started = time.process_time()
    model.train(stages=[], **_QUIET)
    found: dict[str, Any] = {"start_values": time.process_time() - started}
    for stage, epochs in _TIMED.items():
        found[stage] = timed_stage(model, stage, epochs)
        print(stage, found[stage], flush=True)
    return found


def score(model: scmomer.SCMOMER, test: MuData) -> dict[str, float]:
    """Score translation and embeddings of the held-out cells."""
    labels = test.obs["cell_subtype"].astype(str).to_numpy()
    values = model.get_translated(test["rna"])
    found = score_translation(test["atac"].X, values, labels) | score_profile(values, labels)
    for name, cells in (("rna", test["rna"]), ("atac", test["atac"]), ("both", test)):
        z = model.get_latent_representation(cells)
        scores = score_embedding(z, labels) | classify(z, labels)
        found |= {f"{name}_{k}": v for k, v in scores.items()}
    return found


def snapshot(model: scmomer.SCMOMER) -> dict[str, Any]:
    """Return a copy of all weights."""
    return {k: v.clone() for k, v in model.module.state_dict().items()}


def epochs(args: argparse.Namespace, report: dict[str, Any]) -> None:
    """Train with each number of epochs, score, and write."""
    rows = report.setdefault("epochs", {})
    wanted = [e for e in args.epochs if f"{args.name} {args.fold} {args.seed} {e}" not in rows]
    if not wanted:
        return
    scvi.settings.seed = args.seed
    train, test = data(args.fold, args.cells)
    scmomer.pp.setup_mudata(train, batch_key="batch")
    model = scmomer.SCMOMER(train, size="small")
    started = time.process_time()
    model.train(stages=[], **_QUIET)
    common: dict[str, Any] = {"start_values": time.process_time() - started}
    for stage in _FIRST:
        common[stage] = timed_stage(model, stage, None)
    after_first, fused = snapshot(model), {}
    for name in wanted:
        fusion, bridge, *lr = name.split("/")
        if fusion not in fused:
            model.module.load_state_dict(after_first)
            model.stages_ = _FIRST
            cost = timed_stage(model, "fusion", int(fusion))
            fused[fusion] = snapshot(model), cost
        model.module.load_state_dict(fused[fusion][0])
        model.stages_ = (*_FIRST, "fusion")
        stages = {**common, "fusion": fused[fusion][1]}
        stages["bridge"] = timed_stage(model, "bridge", int(bridge), *map(float, lr))
        loss = (model.history_ or {})["bridge"]["validation_loss"].tolist()
        row = {"seconds": total(stages), "stages": stages, "validation_loss": loss}
        key = f"{args.name} {args.fold} {args.seed} {name}"
        rows[key] = {**row, "scores": score(model, test)}
        write_report(args.json, report)
        print(key, round(row["seconds"]), rows[key]["scores"], flush=True)


def total(stages: dict[str, Any]) -> float:
    """Return the core-seconds of some stages."""
    return sum(
        s if isinstance(s, float) else sum(s["train"]) + sum(s["validation"]) + s["around"]
        for s in stages.values()
    )


def commit() -> str:
    """Return the commit of the scmomer that runs."""
    command = ["git", "-C", str(Path(scmomer.__file__).parent), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip() or scmomer.__version__


def main() -> None:
    """Measure and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["deep", "epochs"])
    parser.add_argument("--name", default="after", help="of the code that runs")
    parser.add_argument("--fold", default=CHOSEN_ON[1], choices=[*CHOSEN_ON, *UNTOUCHED])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--epochs", nargs="+", default=["2/10"], help="fusion/bridge[/learning rate of the bridges]"
    )
    parser.add_argument("--cells", type=int, help="number of cells, for a quick run")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/cpu.json"))
    args = parser.parse_args()
    report: dict[str, Any] = json.loads(args.json.read_text()) if args.json.exists() else {}
    report |= {"machine": machine("cpu"), "versions": versions("scvi-tools", "torch", "numpy")}
    report.setdefault("commits", {})[args.name] = commit()
    if args.part == "epochs":
        epochs(args, report)
        return
    found = deep(args.seed)
    report.setdefault("deep", {}).setdefault(args.name, []).append(found)
    write_report(args.json, report)


if __name__ == "__main__":
    main()
