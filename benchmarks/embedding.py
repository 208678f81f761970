"""Embeddings of unseen batches, RNA only, ATAC only and both: leave-batches-out.

    python benchmarks/embedding.py [--folds 09F+09H ...] [--seeds 0 1 2] [--models DIR]
        [--multivi 100]

k-means against ``cell_subtype``, three-fold logistic regression and mixing of the two test batches,
for scMomer with its defaults and for components of the same cells; mean and standard error. Also
tests whether measured ATAC improves a classifier trained on the training cells' types.
"""

from __future__ import annotations

from typing import Any

import _baselines as baselines
import numpy as np
from _held_out import classify, score_embedding
from _quality import Scores, data, finish, multivi, parser, perceptron, trained, write
from mudata import MuData
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scmomer import metrics


def score(z: np.ndarray, test: MuData) -> Scores:
    """Score an embedding; unassigned cells (``Mis``) are left out."""
    labels = test.obs["cell_subtype"].astype(str).to_numpy()
    known = labels != "Mis"
    batch = test.obs["batch"].astype(str).to_numpy()[known]
    mixing = metrics.integration(z[known], batch, labels[known])
    return {
        **score_embedding(z, labels),
        **classify(z, labels),
        "ilisi": mixing["ilisi"],
        "bras": mixing["bras"],
    }


def components(train: MuData, test: MuData) -> dict[str, np.ndarray]:
    """Return principal components and LSI of the test cells, fitted on the training cells."""
    rna, atac = train["rna"].X, train["atac"].X
    pcs = baselines.rna_pca(rna, test["rna"].X)[1]
    indexed = baselines.lsi(atac, test["atac"].X)[1]
    return {
        "50 RNA PCs": pcs,
        "50 RNA PCs, median target, scaled": baselines.rna_pca(
            rna, test["rna"].X, target_sum=None, scale=True
        )[1],
        "50 ATAC LSI": indexed,
        "PCs and LSI": np.hstack([z / np.linalg.norm(z.std(0)) for z in (pcs, indexed)]),
    }


def scored(embeddings: dict[str, np.ndarray], test: MuData) -> dict[str, Scores]:
    """Score embeddings of the same cells, and print each."""
    found = {}
    for name, z in embeddings.items():
        found[name] = score(z, test)
        print(f"  {name}: {found[name]}", flush=True)
    return found


def embedded(cells: MuData, model: Any) -> dict[str, np.ndarray]:
    """Return scMomer's embeddings of cells from each modality and from both."""
    embed = model.get_latent_representation
    return {
        "RNA only": embed(cells["rna"]),
        "ATAC only": embed(cells["atac"]),
        "both": embed(cells),
    }


def compare(
    test: MuData,
    ours: dict[str, np.ndarray],
    mlp: dict[str, Any],
    rival: dict[str, Any] | None,
    seedless: dict[str, Scores],
) -> dict[str, Scores]:
    """Score scMomer and its opponents on the same cells; add scores of seedless methods."""
    named = {f"scMomer, {name}": z for name, z in ours.items()}
    theirs = {"hidden layer of the gene MLP": mlp["hidden"]}
    if rival is not None:
        theirs["MULTIVI, RNA only"] = rival["embedded"]
    return {**scored(named, test), **seedless, **scored(theirs, test)}


def taught(
    train: MuData, test: MuData, reference: dict[str, np.ndarray], query: dict[str, np.ndarray]
) -> dict[str, Scores]:
    """Score a classifier trained on the training cells' types: does ATAC add to RNA?

    `reference` and `query` are the embeddings of training and test cells.
    """
    truth = [cells.obs["cell_subtype"].astype(str).to_numpy() for cells in (train, test)]
    known = [labels != "Mis" for labels in truth]
    rna, both, atac = ((reference[k], query[k]) for k in ("RNA only", "both", "ATAC only"))
    indexed = baselines.lsi(train["atac"].X, test["atac"].X)
    inputs = {
        "RNA only": rna,
        "both": both,
        "RNA only, beside ATAC only": [np.hstack(pair) for pair in zip(rna, atac, strict=True)],
        "RNA only, beside 50 ATAC LSI": [
            np.hstack(pair) for pair in zip(rna, indexed, strict=True)
        ],
        "ATAC only": atac,
    }
    found = {}
    for name, (known_cells, queried) in inputs.items():
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        fitted.fit(known_cells[known[0]], truth[0][known[0]])
        predicted, right = fitted.predict(queried[known[1]]), truth[1][known[1]]
        found[name] = {
            "accuracy": float(accuracy_score(right, predicted)),
            "macro_f1": float(f1_score(right, predicted, average="macro")),
        }
    print(f"  taught: {found}", flush=True)
    return found


def main() -> None:
    """Run all folds and seeds."""
    args = parser(__doc__, "embedding.json").parse_args()
    runs, seedless = [], {}
    for fold in args.folds:
        for seed in args.seeds:
            train, test = data(fold, args.cells)
            model = trained(train, fold, seed, args.models, args.max_epochs)[0]
            print(fold, seed, flush=True)
            if fold not in seedless:
                seedless[fold] = scored(components(train, test), test)
            mlp, rival = perceptron(train, test, fold, seed, args), multivi(args, fold)
            ours = embedded(test, model)
            found = compare(test, ours, mlp, rival, seedless[fold])
            more = taught(train, test, embedded(train, model), ours)
            run = {"fold": fold, "seed": seed, "n_cells": test.n_obs}
            runs.append({**run, "embedding": found, "taught": more})
            write(args, runs, ("embedding", "taught"))
    finish(args, runs, ("embedding", "taught"))


if __name__ == "__main__":
    main()
