"""Cell type annotation by scMomer, logistic regression and other methods.

    python benchmarks/annotation.py [--protocols batches fractions ...] [--models DIR]
        [--folds 09F+09H ...] [--seeds 0 1 2] [--cells N] [--scanvi] [--json PATH]

All methods use raw RNA counts of the same cells. Labels of SNARE-seq are ``cell_subtype``; cells
without a subtype (``Mis``) are left out of reference and test. Protocols:

- ``batches``: two batches unseen, also in the training of scMomer; folds of the other benchmarks.
- ``five_fold``: stratified folds over all batches; the model of a fold has not seen its test cells.
- ``fractions``: 10 to 90 % of the reference's labels, on the folds of ``batches``. scMomer
  was also trained on the unlabeled cells.
- ``imbalance``: every type but the largest reduced to a hundredth of the largest, at least two
  cells.
- ``unknown``: one type is left out of the reference's labels; AUROC of its test cells against all
  other cells. The model itself was trained on unlabeled cells of that type.
- ``pancreas``, ``kang``, ``facs``, ``facs_deep``: cells of RNA alone, ``_rna_sets``.

Settings of scMomer were chosen on 09A+09E and 09C+09J (``_quality.CHOSEN_ON``).
"""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _annotators import (
    N_RARE,
    Annotator,
    novelty_of_pcs,
    opponents,
    ours,
    run,
    score,
    unknown_auroc,
)
from _measure import machine, versions
from _quality import UNTOUCHED, all_cells, data, over_folds, parser, trained
from _report import write_report
from _rna_sets import RNA_SETS, Labeled, labeled
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

LABELS = "cell_subtype"
FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9)
NEW_TYPES = ("Ast", "OliM", "InP", "Clau", "E6Tle4", "Mic")
KEYS = ("accuracy", "macro_f1", "rare_f1")


def without_singletons(train: Labeled) -> Labeled:
    """Leave out types with a single cell, which cannot be validated."""
    rna, labels = train
    kept = pd.Series(labels).map(pd.Series(labels).value_counts()).to_numpy() > 1
    return (rna, labels) if kept.all() else (rna[kept].copy(), labels[kept])


def rarest(labels: np.ndarray) -> list[str]:
    """Return the rarest types."""
    return pd.Series(labels).value_counts(ascending=True).index[:N_RARE].tolist()


def compare(
    model: Any,
    train: Labeled,
    test: Labeled,
    seed: int,
    args: Namespace,
    rare: list[str] | None = None,
) -> dict[str, Any]:
    """Score all methods on one split."""
    rare = rarest(np.r_[train[1], test[1]]) if rare is None else rare
    train = without_singletons(train)
    found = {}
    for name, annotator in _all_methods(model, args).items():
        started = time.process_time()
        probabilities = run(name, annotator, *train, test[0], seed)
        found[name] = score(probabilities, test[1], rare)
        found[name]["core_seconds"] = time.process_time() - started
        short = {key: round(found[name][key], 3) for key in KEYS}
        print(f"    {name}: {short}", flush=True)
    return found


def _all_methods(model: Any, args: Namespace) -> dict[str, Annotator]:
    mine = {"scMomer": ours(model), "scMomer, embedding alone": ours(model, inputs="embedding")}
    if args.finetune:
        mine["scMomer, fine-tuned"] = ours(model, mode="finetune")
    return {**mine, **opponents(args.scanvi)}


# -- SNARE-seq

Split = tuple[str, int, Any, Labeled, Labeled]


def _splits(args: Namespace) -> Iterator[Split]:
    """Yield fold, seed, model and the labeled cells of both sides."""
    for seed in args.seeds:
        for fold in args.folds:
            train, test = data(fold, args.cells)
            model = trained(train, fold, seed, args.models, args.max_epochs)[0]
            print(f"  {fold} {seed}", flush=True)
            yield fold, seed, model, without_singletons(labeled(train["rna"])), labeled(test["rna"])


def _all_rare(args: Namespace) -> list[str]:
    return rarest(labeled(all_cells(args.cells)["rna"])[1])


def batches(args: Namespace) -> Iterator[dict[str, Any]]:
    """Two batches unseen."""
    rare = _all_rare(args)
    for fold, seed, model, train, test in _splits(args):
        yield {"fold": fold, "seed": seed, **scored(compare(model, train, test, seed, args, rare))}


def scored(methods: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a run that summaries read."""
    return {"methods": methods}


def five_fold(args: Namespace) -> Iterator[dict[str, Any]]:
    """Stratified folds with a separate test fold; one model per fold."""
    cells = all_cells(args.cells)
    cells = cells[(cells.obs[LABELS].astype(str) != "Mis").to_numpy()].copy()
    labels = cells.obs[LABELS].astype(str).to_numpy()
    rare = rarest(labels)
    for seed in args.seeds:
        folds = StratifiedKFold(5, shuffle=True, random_state=seed).split(labels, labels)
        for number, (known, held_out) in enumerate(folds):
            train, test = cells[known].copy(), cells[held_out].copy()
            model = trained(train, f"fivefold{number}", seed, args.models, args.max_epochs)[0]
            print(f"  fold {number}, seed {seed}", flush=True)
            parts = labeled(train["rna"]), labeled(test["rna"])
            found = compare(model, *parts, seed, args, rare)
            yield {"fold": str(number), "seed": seed, **scored(found)}


def subset(labels: np.ndarray, counts: dict[str, int], seed: int) -> np.ndarray:
    """Draw the given number of cells of each type, at least two; sorted positions."""
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(labels == name))[: max(2, n)] for name, n in counts.items()
    ]
    return np.sort(np.concatenate(chosen))


def fractions(args: Namespace) -> Iterator[dict[str, Any]]:
    """Fewer labels."""
    rare = _all_rare(args)
    for fold, seed, model, (rna, labels), test in _splits(args):
        names, sizes = np.unique(labels, return_counts=True)
        for share in FRACTIONS:
            counts = dict(zip(names, np.round(share * sizes).astype(int), strict=True))
            kept = subset(labels, counts, seed)
            print(f"   {share:.0%} of the labels: {len(kept)}", flush=True)
            some = rna[kept].copy(), labels[kept]
            found = compare(model, some, test, seed, args, rare)
            yield {"fold": fold, "seed": seed, "setting": str(share), **scored(found)}


def imbalance(args: Namespace) -> Iterator[dict[str, Any]]:
    """Every type but the largest at 1:100."""
    rare = _all_rare(args)
    for fold, seed, model, (rna, labels), test in _splits(args):
        names, sizes = np.unique(labels, return_counts=True)
        few = max(2, int(sizes.max() / 100))
        counts = {n: int(s) if s == sizes.max() else few for n, s in zip(names, sizes, strict=True)}
        kept = subset(labels, counts, seed)
        found = compare(model, (rna[kept].copy(), labels[kept]), test, seed, args, rare)
        yield {"fold": fold, "seed": seed, **scored(found)}


def unknown(args: Namespace) -> Iterator[dict[str, Any]]:
    """Leave a type out of the labels."""
    rivals = opponents(False)
    kept = {n: rivals[n] for n in ("logistic regression, 50 scaled PCs", "kNN, 50 scaled PCs")}
    for fold, seed, model, (rna, labels), (query, truth) in _splits(args):
        for new in NEW_TYPES:
            is_new = truth == new
            if not is_new.any() or not (labels == new).any():
                continue
            known = labels != new
            found = {}
            for name, annotator in {"scMomer": ours(model), **kept}.items():
                got = run(name, annotator, rna[known].copy(), labels[known], query, seed)
                aurocs = unknown_auroc(got, is_new)
                found |= {f"{name}, {way}": {"auroc": a} for way, a in aurocs.items()}
            far = novelty_of_pcs(rna[known].copy(), labels[known], query)
            found["50 scaled PCs, novelty"] = {"auroc": float(roc_auc_score(is_new, far))}
            print(f"   {new}: { {k: round(v['auroc'], 3) for k, v in found.items()} }", flush=True)
            yield {"fold": fold, "seed": seed, "setting": new, **scored(found)}


# -- RNA alone


def of_rna(name: str, args: Namespace) -> Iterator[dict[str, Any]]:
    """A data set of RNA alone."""
    for split in RNA_SETS[name](args):
        found = compare(split.model, split.train, split.test, split.seed, args)
        yield {"fold": split.fold, "seed": split.seed, **scored(found)}


PROTOCOLS: dict[str, Callable[[Namespace], Iterator[dict[str, Any]]]] = {
    **{p.__name__: p for p in (batches, five_fold, fractions, imbalance, unknown)},
    **{name: partial(of_rna, name) for name in ("pancreas", "kang", "facs", "facs_deep")},
}


# -- results


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard error of each score, by setting and method, over folds."""
    summary: dict[str, Any] = {}
    for setting in dict.fromkeys(r.get("setting", "all") for r in runs):
        some = [r for r in runs if r.get("setting", "all") == setting]
        summary[setting] = {
            method: {
                key: over_folds(some, method, key)
                for key, value in scores.items()
                if isinstance(value, float)
            }
            for method, scores in some[0]["methods"].items()
        }
    return summary


def write(path: Path, protocols: dict[str, list[dict[str, Any]]]) -> None:
    """Write the results so far; protocols of earlier runs are kept."""
    report = json.loads(path.read_text()) if path.exists() else {}
    for name, runs in protocols.items():
        report[name] = {
            "command": " ".join(["python", *sys.argv]),
            "machine": machine("cpu"),
            "versions": versions("scmomer", "scvi-tools", "torch", "scikit-learn"),
            "summary": summarize(runs),
            "runs": runs,
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_report(path, report)


def show(name: str, runs: list[dict[str, Any]]) -> None:
    """Print a protocol's summary."""
    for setting, methods in summarize(runs).items():
        print(f"\n{name}, {setting}")
        for method, scores in methods.items():
            cells = (f"{key} {m:.3f} ± {e:.3f}" for key, (m, e) in scores.items())
            print(f"  {method}: " + ", ".join(cells))


def main() -> None:
    """Run the requested protocols."""
    command = parser(__doc__, "annotation.json")
    command.add_argument("--protocols", nargs="+", default=list(PROTOCOLS), choices=PROTOCOLS)
    command.add_argument("--scanvi", action="store_true", help="add scANVI (slow)")
    command.add_argument("--finetune", action="store_true", help="add fine-tuned heads (slow)")
    command.set_defaults(folds=list(UNTOUCHED))
    args = command.parse_args()
    for name in args.protocols:
        print(name, flush=True)
        runs: list[dict[str, Any]] = []
        for found in PROTOCOLS[name](args):
            runs.append(found)
            write(args.json, {name: runs})
        show(name, runs)


if __name__ == "__main__":
    main()
