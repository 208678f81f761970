"""Integration of unseen batches, label transfer and query adaptation.

    python benchmarks/integration.py [--folds 09F+09H ...] [--seeds 0 1 2] [--models DIR]
        [--methods pca scvi harmony] [--epochs N] [--synthetic-cells 2000]

Two batches are held out: of SNARE-seq (leave-batches-out, as in the other benchmarks), and of five
synthetic batches that differ by known fold changes (``batch_effect=0.5``). On the held-out cells:

- **integration**: total scores of ``tl.integration_report``. scMomer was not trained on these
  cells; PCA, Harmony and SCVI are fitted to them.
- **labels**: accuracy and macro-F1 of labels that ``tl.map_to_reference`` transfers from the
  training cells, and AUROC of its confidence for correct labels, against the same neighbor weights
  in principal components (fitted to the training cells).
- **batches**: ``model.load_query_data`` on a random half of the cells; reconstruction of the other half
  from the other modality, in the average batch and in the cells' own batch.

Unassigned cells (``Mis``) are left out. Mean and standard error, over folds or synthetic data sets.
"""

from __future__ import annotations

import argparse
from typing import Any

import _baselines as baselines
import mudata
import numpy as np
import scvi
from _quality import Scores, data, finish, parser, standard_error, trained, write
from mudata import MuData
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

import scmomer
from scmomer.tl import integration_report, map_to_reference
from scmomer.tl._map_to_reference import label_probabilities, neighbors, reference_labels

PARTS = ("integration", "labels", "batches")
SCORES = ["bio_conservation", "batch_correction", "total"]
K = 15


def integration(
    test: MuData, model: Any, labels: str, seed: int, methods: list[str], epochs: int | None
) -> dict[str, Scores]:
    """Score scMomer's embeddings of unseen cells, and those of other methods fitted to them."""
    cells = test.copy()
    cells.obsm["scMomer, RNA only"] = model.get_latent_representation(test["rna"])
    cells.obsm["scMomer, both"] = model.get_latent_representation(test)
    scvi.settings.seed = seed
    table = integration_report(
        cells,
        batch_key="batch",
        labels_key=labels,
        use_rep=["scMomer, RNA only", "scMomer, both"],
        methods=methods,
        max_epochs=epochs,
    )
    return table[SCORES].to_dict("index")


def label_scores(truth: np.ndarray, found: np.ndarray, confidence: np.ndarray) -> Scores:
    """Return accuracy, macro-F1, and AUROC of confidence for correct labels."""
    right = truth == found
    return {
        "accuracy": float(accuracy_score(truth, found)),
        "macro_f1": float(f1_score(truth, found, average="macro")),
        "confidence_auroc": float(roc_auc_score(right, confidence))
        if 0 < right.mean() < 1
        else np.nan,
    }


def label_transfer(train: MuData, test: MuData, model: Any, labels: str) -> dict[str, Scores]:
    """Score labels transferred from the training cells by scMomer and by principal components."""
    truth, known = test.obs[labels].astype(str).to_numpy(), reference_labels(train, labels)
    found = {}
    scmomer.tl.embed(train, model)
    for name, query in {"RNA only": test["rna"].copy(), "both": test.copy()}.items():
        map_to_reference(query, train, model, labels_key=labels, n_neighbors=K)
        label = query.obs["reference_label"].astype(str).to_numpy()
        confidence = query.obs["reference_confidence"].to_numpy()
        found[f"scMomer, {name}"] = label_scores(truth, label, confidence)
    for name, options in {
        "kNN on 50 RNA PCs": {},
        "kNN on 50 RNA PCs, median target, scaled": {"target_sum": None, "scale": True},
    }.items():
        index, z = baselines.rna_pca(train["rna"].X, test["rna"].X, **options)
        table = label_probabilities(neighbors(z, index, K, 0), known)
        label = table.idxmax(axis=1).to_numpy().astype(str)
        found[name] = label_scores(truth, label, table.max(axis=1).to_numpy())
    return found


def adaptation(test: MuData, model: Any, seed: int) -> dict[str, Scores]:
    """Reconstruct half of the cells in the average batch and in their own, fitted to the rest."""
    half = np.random.default_rng(seed).random(test.n_obs) < 0.5
    adapted = model.load_query_data(test[half].copy(), batch_key="batch")
    runs: dict[str, list[Scores]] = {"average batch": [], "own batch, by load_query": []}
    for batch in sorted(set(test.obs["batch"].astype(str))):
        cells = test[~half & (test.obs["batch"] == batch).to_numpy()].copy()
        for name, used in zip(runs, (None, batch), strict=True):
            runs[name].append(reconstruction(cells, adapted, used))
    return {k: {s: float(np.mean([r[s] for r in v])) for s in v[0]} for k, v in runs.items()}


def reconstruction(cells: MuData, model: Any, batch: str | None) -> Scores:
    """Return errors of cells translated in both directions, and of their mean profiles."""
    opened = cells["atac"].X.toarray() > 0
    counts = cells["rna"].X.toarray()
    total = np.maximum(counts.sum(1, keepdims=True), 1)
    expression = np.log2(1 + counts / total * model.target_sum)
    p = np.clip(model.get_translated(cells, "atac", batch=batch), 1e-7, 1 - 1e-7)
    x = model.get_translated(cells, "rna", batch=batch)
    return {
        "log_loss": float(-np.where(opened, np.log(p), np.log1p(-p)).sum(1).mean()),
        "profile_mae": float(np.abs(p.mean(0) - opened.mean(0)).mean() / opened.mean()),
        "rmse": float(np.sqrt(np.square(x - expression).mean())),
        "expression_mae": float(np.abs(x.mean(0) - expression.mean(0)).mean() / expression.mean()),
    }


def run(
    train: MuData, test: MuData, model: Any, labels: str, seed: int, args: argparse.Namespace
) -> dict[str, dict[str, Scores]]:
    """Score everything of one model, and print it."""
    train, test = (m[(m.obs[labels] != "Mis").to_numpy()].copy() for m in (train, test))
    found = {
        "integration": integration(test, model, labels, seed, args.methods, args.epochs),
        "labels": label_transfer(train, test, model, labels),
        "batches": adaptation(test, model, seed),
    }
    for part, methods in found.items():
        for name, scores in methods.items():
            print(f"  {part}, {name}: {scores}", flush=True)
    return found


def synthetic(seed: int, args: argparse.Namespace) -> dict[str, dict[str, Scores]]:
    """Draw data with a batch effect, train on three batches and score the other two."""
    n = args.synthetic_cells
    mdata = scmomer.datasets.synthetic(
        n, 500, 2000, n_types=6, n_batches=5, batch_effect=0.5, seed=seed
    )
    held_out = mdata.obs["batch"].isin(["batch4", "batch5"]).to_numpy()
    train, test = mdata[~held_out].copy(), mdata[held_out].copy()
    model = trained(train, f"synthetic-{n}", seed, args.models, args.max_epochs)[0]
    return run(train, test, model, "cell_type", seed, args)


def means(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard error over data sets of every score."""
    return {
        part: {
            method: {
                key: [float(np.mean(values)), standard_error(values)]
                for key in scores
                for values in [[r[part][method][key] for r in runs]]
            }
            for method, scores in runs[0][part].items()
        }
        for part in PARTS
    }


def main() -> None:
    """Run all folds and seeds."""
    if hasattr(mudata, "set_options"):  # mudata 0.3
        mudata.set_options(pull_on_update=False)
    command = parser(__doc__, "integration.json")
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.add_argument("--methods", nargs="*", default=["pca"])
    command.add_argument("--epochs", type=int, help="of SCVI; default as in SCVI")
    command.add_argument("--synthetic-cells", type=int, default=2000)
    args = command.parse_args()
    runs: list[dict[str, Any]] = []
    drawn: list[dict[str, Any]] = []
    for seed in args.seeds:
        print("synthetic", seed, flush=True)
        drawn.append(synthetic(seed, args))
        extra = {"synthetic": {"summary": means(drawn), "runs": drawn}}
        for fold in args.folds:
            train, test = data(fold, args.cells)
            model = trained(train, fold, seed, args.models, args.max_epochs)[0]
            print(fold, seed, flush=True)
            scores = run(train, test, model, "cell_subtype", seed, args)
            runs.append({"fold": fold, "seed": seed, "n_cells": test.n_obs, **scores})
            write(args, runs, PARTS, extra)
    finish(args, runs, PARTS, extra)


if __name__ == "__main__":
    main()
