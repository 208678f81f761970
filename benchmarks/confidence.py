"""Are probabilities of cell types right, and are unknown types seen, on deep cells?

    python benchmarks/confidence.py [--folds 0 1 2] [--new TYPE ...] [--cells N] [--max-epochs N]
        [--json PATH]

3,774 sorted PBMC of ten labels (Zheng 2017), genes of at least ten cells. A fold is a fifth of the
cells, stratified by label, with a seed of its own. scMomer is trained on the RNA of the other cells
with ``rna_encoder="mlp"``, which takes seconds; its other settings are the defaults.

- ``known``: accuracy, and calibration of the probability of the predicted label.
- ``unknown``: one type is removed from the training cells, so that neither the model nor the
  classifier has seen it; AUROC of its test cells against all other test cells.
"""

from __future__ import annotations

import argparse
import json
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import scvi
from _annotators import OPPONENTS, Annotator, novelty_of_pcs, ours, run, unknown_auroc
from _quality import standard_error
from _report import write_runs
from anndata import AnnData
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

import scmomer
from scmomer import metrics

DATA = Path(os.environ.get("SCMOMER_DATA", "../shared/data")) / "rna"
N_FOLDS, MIN_CELLS = 5, 10
NEW_TYPES = ("CD14+ Monocyte", "CD56+ NK", "CD4+/CD25 T Reg")
SIMPLE = ("L2 logistic regression, log expression", "logistic regression, 50 PCs")


def load(n_cells: int | None) -> AnnData:
    """Return counts, with labels in ``obs["cell_type"]``."""
    found = ad.read_h5ad(DATA / "pbmc_facs_3774.h5ad")
    if n_cells is not None:
        found = found[np.sort(np.random.default_rng(0).permutation(found.n_obs)[:n_cells])]
    counts = sp.csr_matrix(found.X).astype(np.float32)
    kept = np.asarray((counts > 0).sum(0)).ravel() >= MIN_CELLS
    obs = pd.DataFrame({"cell_type": found.obs["celltype"].astype(str)})
    return AnnData(counts[:, kept], obs=obs, var=found.var.loc[kept, []])


def fitted(train: AnnData, seed: int, args: Namespace) -> Any:
    """Return scMomer of RNA alone, trained without labels."""
    scvi.settings.seed = seed
    cells = train.copy()
    scmomer.pp.setup_anndata(cells, modality="rna")
    model = scmomer.SCMOMER(cells, rna_encoder="mlp")
    model.train(args.max_epochs, enable_progress_bar=False)
    return model


def methods(model: Any) -> dict[str, Annotator]:
    """Return scMomer's classifiers and the simplest others."""
    mine = {"scMomer": ours(model), "scMomer, embedding alone": ours(model, inputs="embedding")}
    return {**mine, **{name: OPPONENTS[name] for name in SIMPLE}}


def score(found: pd.DataFrame, truth: np.ndarray) -> dict[str, float]:
    """Return accuracy, macro-F1 and calibration."""
    p, names = found.to_numpy(float), found.columns.to_numpy()
    predicted = names[p.argmax(1)]
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_f1": float(f1_score(truth, predicted, average="macro", zero_division=0)),
        **metrics.label_calibration(truth, p, names),
    }


def known(train: AnnData, test: AnnData, seed: int, args: Namespace) -> dict[str, Any]:
    """Score all methods with all types in the reference."""
    labels, truth = (a.obs["cell_type"].to_numpy() for a in (train, test))
    found = {}
    for name, annotator in methods(fitted(train, seed, args)).items():
        found[name] = score(run(name, annotator, train, labels, test, seed), truth)
        print(f"    {name}: { {k: round(v, 3) for k, v in found[name].items()} }", flush=True)
    return found


def unknown(train: AnnData, test: AnnData, new: str, seed: int, args: Namespace) -> dict[str, Any]:
    """Score how well a type is seen that was not among the training cells."""
    rest = train[(train.obs["cell_type"] != new).to_numpy()].copy()
    labels, is_new = rest.obs["cell_type"].to_numpy(), (test.obs["cell_type"] == new).to_numpy()
    every = methods(fitted(rest, seed, args))
    found = {}
    for name in ("scMomer", *SIMPLE):
        aurocs = unknown_auroc(run(name, every[name], rest, labels, test, seed), is_new)
        found |= {f"{name}, {way}": {"auroc": value} for way, value in aurocs.items()}
    far = novelty_of_pcs(rest, labels, test)
    found["50 scaled PCs, novelty"] = {"auroc": float(roc_auc_score(is_new, far))}
    print(f"   {new}: { {k: round(v['auroc'], 3) for k, v in found.items()} }", flush=True)
    return found


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard error over folds of each score, by setting."""
    found: dict[str, Any] = {}
    for setting in dict.fromkeys(r["setting"] for r in runs):
        some = [r["methods"] for r in runs if r["setting"] == setting]
        found[setting] = {
            method: {
                key: [
                    float(np.mean(values := [m[method][key] for m in some])),
                    standard_error(values),
                ]
                for key in scores
            }
            for method, scores in some[0].items()
        }
    return found


def main() -> None:
    """Run all folds and settings that were not run before."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--new", nargs="*", default=list(NEW_TYPES), help="types to leave out")
    parser.add_argument("--cells", type=int, help="number of cells, for a quick run")
    parser.add_argument("--max-epochs", type=int, help="of training, for a quick run")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/confidence.json"))
    args = parser.parse_args()
    cells = load(args.cells)
    labels = cells.obs["cell_type"].to_numpy()
    runs = json.loads(args.json.read_text())["runs"] if args.json.exists() else []
    splits = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(labels, labels)
    for number, (rows, held_out) in enumerate(splits):
        if number not in args.folds:
            continue
        train, test = cells[rows].copy(), cells[held_out].copy()
        for setting in ("known", *args.new):
            key = {"setting": setting, "fold": number, "seed": number}
            if any(key.items() <= done.items() for done in runs):
                continue
            print(f"{setting}, fold {number}", flush=True)
            if setting == "known":
                found = known(train, test, number, args)
            else:
                found = unknown(train, test, setting, number, args)
            runs.append({**key, "methods": found})
            write_runs(args.json, runs, summarize(runs))


if __name__ == "__main__":
    main()
