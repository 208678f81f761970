"""Differential peaks of cell types from translated ATAC, with figures.

    python benchmarks/markers.py [--fold 09F+09H] [--models DIR] [--pictures docs/images]

Peaks of every ``cell_type`` with at least 30 held-out cells are ranked by ``tl.rank_peaks`` on
measured and on translated accessibility of the same unseen cells.
"""

from __future__ import annotations

from pathlib import Path

import _baselines as baselines
import matplotlib as mpl
import numpy as np
import pandas as pd
import scanpy as sc
from _quality import UNTOUCHED, Scores, data, finish, parser, trained
from anndata import AnnData

import scmomer
from scmomer import metrics

mpl.use("agg")
MIN_CELLS = 30
KS = (20, 100, 500)


def scores(atac: AnnData) -> pd.DataFrame:
    """Return the z score of each peak in each type, groups x peaks."""
    scmomer.tl.rank_peaks(atac, "cell_type")
    groups = atac.uns["rank_peaks"]["names"].dtype.names
    frames = [
        sc.get.rank_genes_groups_df(atac, group, key="rank_peaks").set_index("names")["scores"]
        for group in groups
    ]
    return pd.concat(frames, axis=1, keys=groups).T[atac.var_names]


def compare(true: pd.DataFrame, predicted: pd.DataFrame) -> Scores:
    """Return precision among the top peaks and rank correlation, means over types."""
    found = {f"precision_at_{k}": 0.0 for k in KS}
    for k in KS:
        recovered = metrics.marker_recovery(true, predicted, k=k)
        found[f"precision_at_{k}"] = recovered["precision_at_k"]
    return found | {"spearman": recovered["spearman"]}


def main() -> None:
    """Run all folds; plot the first."""
    command = parser(__doc__, "markers.json")
    command.add_argument("--pictures", type=Path, help="folder for figures of the first run")
    command.set_defaults(folds=list(UNTOUCHED))
    args = command.parse_args()
    runs = []
    for seed in args.seeds:
        for fold in args.folds:
            train, test = data(fold, args.cells)
            model = trained(train, fold, seed, args.models, args.max_epochs)[0]
            types = test.obs["cell_type"].astype(str)
            kept = types.map(types.value_counts()).ge(MIN_CELLS) & (types != "Mis")
            rna, truth = test["rna"][kept.to_numpy()].copy(), test["atac"][kept.to_numpy()].copy()
            known = [train[m].X for m in ("rna", "atac")]
            translations = {
                "scMomer": scmomer.tl.translate_atac(rna, model),
                "scMomer, at mean depth": scmomer.tl.translate_atac(rna, model, depth="mean"),
                "kNN, 200 cells": baselines.knn(*known, rna.X, k=200),
                "MLP on genes, dropout 0.5": baselines.perceptron(*known, rna.X, seed=seed)[0],
                "train mean": baselines.train_mean(*known, rna.X),
            }
            true = scores(truth)
            found = {}
            for name, values in translations.items():
                values = values.X if isinstance(values, AnnData) else values
                guess = AnnData(np.asarray(values), obs=rna.obs, var=truth.var[[]])
                found[name] = compare(true, scores(guess))
            print(fold, seed, found, flush=True)
            if args.pictures is not None and not runs:
                args.pictures.mkdir(parents=True, exist_ok=True)
                draw(truth, translations["scMomer"], args.pictures)
            runs.append({"fold": fold, "seed": seed, "markers": found})
    finish(args, runs, ("markers",))


def draw(truth: AnnData, translated: AnnData, folder: Path) -> None:
    """Plot measured against translated pseudobulk, and the recovery of marker peaks."""
    largest = truth.obs["cell_type"].value_counts().index[:4].astype(str).tolist()
    scmomer.pl.pseudobulk(
        truth, translated, "cell_type", groups=largest, save=folder / "pseudobulk.png", show=False
    )
    scmomer.pl.marker_recovery(
        truth, translated, "cell_type", save=folder / "marker_recovery.png", show=False
    )


if __name__ == "__main__":
    main()
