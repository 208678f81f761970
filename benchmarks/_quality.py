"""Leave-batches-out on SNARE-seq: folds, shared models, summaries."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _baselines as baselines
import numpy as np
import scvi
from _held_out import hold_out
from _measure import machine, peak_mb, read_arrays, versions, write_arrays
from _multivi import run_multivi
from _report import write_report
from mudata import MuData

import scmomer

# Two batches are unseen at a time. Settings of scmomer were chosen on the first two pairs; the
# other three are reported. Of these, 09D was used once, to choose the normalization of PCs.
CHOSEN_ON = ("09A+09E", "09C+09J")
UNTOUCHED = ("09F+09H", "09B+09G", "09D+09I")
Scores = dict[str, float]


def parser(doc: str | None, result: str) -> ArgumentParser:
    """Return the command line of a quality benchmark."""
    parsed = ArgumentParser(description=doc)
    parsed.add_argument("--folds", nargs="+", default=[*CHOSEN_ON, *UNTOUCHED])
    parsed.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parsed.add_argument("--cells", type=int, help="number of cells, for a quick run")
    parsed.add_argument("--max-epochs", type=int, help="of every stage, for a quick run")
    parsed.add_argument("--models", type=Path, help="folder to read and write trained models")
    parsed.add_argument("--multivi", type=int, help="epochs of MULTIVI, as a further opponent")
    parsed.add_argument("--json", type=Path, default=Path("benchmarks/results") / result)
    return parsed


def data(fold: str, n_cells: int | None) -> tuple[MuData, MuData]:
    """Return training and test cells."""
    return hold_out(all_cells(n_cells), fold)


def all_cells(n_cells: int | None) -> MuData:
    """Return SNARE-seq, or a subset of its cells."""
    mdata = scmomer.datasets.snareseq_cortex()
    if n_cells is None:
        return mdata
    cells = np.random.default_rng(0).permutation(mdata.n_obs)[:n_cells]
    return mdata[np.sort(cells)].copy()


def multivi(args: Namespace, fold: str) -> dict[str, Any] | None:
    """Return the results of MULTIVI on the test cells, or None if not requested.

    One seed and only reported pairs: a fit takes ten times as long as all other methods together.
    """
    if args.multivi is None or fold in CHOSEN_ON:
        return None
    return run_multivi(all_cells(args.cells), fold, 0, args.multivi, args.models)


def perceptron(
    train: MuData, test: MuData, fold: str, seed: int, args: Namespace
) -> dict[str, Any]:
    """Return ``probability``, ``hidden`` layer and cost of the MLP on genes.

    With ``--models`` they are read from or written to that folder, for both quality benchmarks.
    """
    path = None if args.models is None else args.models / f"{fold}_{seed}_mlp.npz"
    if path is not None and path.exists():
        return read_arrays(path)
    made, cost = measured(
        lambda: baselines.perceptron(train["rna"].X, train["atac"].X, test["rna"].X, seed=seed)
    )
    found = {"probability": made[0], "hidden": made[1], **cost}
    if path is not None:
        write_arrays(path, found)
    return found


def kept_model(path: Path | None, make: Callable[[], tuple[Any, Scores]]) -> tuple[Any, Scores]:
    """Return a trained model and its cost, read from `path` or made and written to it."""
    if path is not None and path.exists():
        cost = path.with_suffix(".json")
        return scmomer.load(path), json.loads(cost.read_text()) if cost.exists() else {}
    model, spent = make()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
        path.with_suffix(".json").write_text(json.dumps(spent))
    return model, spent


def trained(
    train: MuData, fold: str, seed: int, models: Path | None, max_epochs: int | None = None
) -> tuple[Any, float, float]:
    """Return scMomer with its defaults, core seconds and memory (MB) of training."""

    def make() -> tuple[Any, Scores]:
        scvi.settings.seed = seed
        model, cost = measured(fit)
        return model, {"seconds": cost["core_seconds"], "mb": cost["peak_mb"]}

    def fit() -> Any:
        scmomer.pp.setup_mudata(train, batch_key="batch")
        model = scmomer.SCMOMER(train)
        model.train(max_epochs, enable_progress_bar=False)
        return model

    path = None if models is None else models / f"{fold}_{seed}.scmomer"
    model, cost = kept_model(path, make)
    return model, cost["seconds"], cost["mb"]


def measured(make: Callable[[], Any]) -> tuple[Any, Scores]:
    """Return the result of `make`, its core seconds and the peak memory (MB) that it adds.

    Core seconds, summed over cores, depend less on other work on the machine than wall time.
    """
    kept: list[Any] = []
    started = time.process_time()
    mb = peak_mb(lambda: kept.append(make()), "cpu")
    return kept[0], {"core_seconds": time.process_time() - started, "peak_mb": mb}


def standard_error(values: list[float]) -> float:
    """Return the standard error of a mean; NaN for a single value."""
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def over_folds(runs: list[dict[str, Any]], method: str, key: str) -> list[float]:
    """Return mean and standard error of a method's score.

    Seeds of a fold share their cells, so that the error is that of the folds' means.
    """
    known = [run for run in runs if method in run["methods"]]
    means = _fold_means(known, "methods", method, key)
    return [float(np.mean(means)), standard_error(means)]


def _fold_means(runs: list[dict[str, Any]], part: str, method: str, key: str) -> list[float]:
    """Return the mean over seeds for each fold."""
    folds = dict.fromkeys(r["fold"] for r in runs)
    scores = [[r[part][method][key] for r in runs if r["fold"] == fold] for fold in folds]
    return [float(np.mean(values)) for values in scores]


def summarize(runs: list[dict[str, Any]], parts: tuple[str, ...]) -> dict[str, Any]:
    """Return mean and standard error of every score, over all runs and over untouched folds.

    Runs of one fold with different seeds share their cells and are not independent: the standard
    error is that of the folds' means. Only methods that are in every run are included.
    """
    chosen = {"all folds": runs, "untouched": [r for r in runs if r["fold"] in UNTOUCHED]}
    return {
        name: {
            part: {
                method: {
                    key: [float(np.nanmean(means)), standard_error(means)]
                    for key in scores
                    for means in [_fold_means(some, part, method, key)]
                }
                for method, scores in some[0][part].items()
                if all(method in r[part] for r in some)
            }
            for part in parts
        }
        for name, some in chosen.items()
        if some
    }


def write(
    args: Namespace,
    runs: list[dict[str, Any]],
    parts: tuple[str, ...],
    extra: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the results so far, and `extra` entries, as JSON; return the summary."""
    summary = summarize(runs, parts)
    report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine("cpu"),
        "versions": versions("scmomer", "scvi-tools", "torch", "scanpy"),
        "folds": args.folds,
        "seeds": args.seeds,
        "summary": summary,
        "runs": runs,
        **(extra or {}),
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    write_report(args.json, report)
    return summary


def finish(
    args: Namespace,
    runs: list[dict[str, Any]],
    parts: tuple[str, ...],
    extra: dict[str, Any] | None = None,
) -> None:
    """Write JSON and print tables."""
    summary = write(args, runs, parts, extra)
    for name, tables in summary.items():
        for part, methods in tables.items():
            keys = list(next(iter(methods.values())))
            print(
                f"\n{name}: {part}\n| | "
                + " | ".join(keys)
                + " |\n"
                + "|---" * (len(keys) + 1)
                + "|"
            )
            for method, scores in methods.items():
                cells = (f"{m:.3f} ± {e:.3f}" for m, e in scores.values())
                print(f"| {method} | " + " | ".join(cells) + " |")
