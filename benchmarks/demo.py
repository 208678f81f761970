"""scMomer's main job on real cells: train, embed and translate cells of which only RNA is known.

Holds one SNARE-seq batch out as an RNA-only query, trains the three stages on the others, and
writes ``query.h5ad``, ``translated_atac.h5ad``, ``model.scmomer/``, ``umap.png``,
``translation.png`` and ``metrics.json``. Run by ``make demo``.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import _baselines as baselines
import _demo_plots as plots
import numpy as np
import scipy.sparse as sp
import scvi

import scmomer
from scmomer import metrics

N_KMEANS = 5  # k-means runs whose agreement is averaged


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    parser.add_argument("--batch", default="09J", help="batch that becomes the query")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def score_translation(
    truth: sp.csr_matrix, score: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Say how well cells are ranked within peaks, and how well types differ."""
    return {
        "auroc_within_depth": metrics.peak_auroc_within_depth(truth, score),
        "auroc": metrics.peak_auroc(truth, score),
        "pseudobulk_pearson": metrics.pseudobulk_pearson(truth, score, labels),
    }


def score_embedding(embedding: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Agreement of k-means with the labels, mean over starts; unassigned cells are left out."""
    known = labels != "Mis"
    runs = [
        metrics.clustering_agreement(embedding[known], labels[known], random_state=seed)
        for seed in range(N_KMEANS)
    ]
    return {key: float(np.mean([run[key] for run in runs])) for key in ("ari", "ami")}


def compare_translations(
    train: Any, query: Any, translated: np.ndarray, labels: np.ndarray
) -> dict[str, dict[str, float]]:
    """Score scMomer and the baselines on the same cells and peaks."""
    rna, atac, test = train["rna"].X, train["atac"].X, query["rna"].X
    types = train.obs["cell_subtype"].to_numpy()
    predictions = {
        "scMomer": lambda: translated,
        "train mean": lambda: baselines.train_mean(rna, atac, test),
        "kNN, 50 cells": lambda: baselines.knn(rna, atac, test, k=50),
        "kNN, 200 cells": lambda: baselines.knn(rna, atac, test, k=200),
        "linear, rank 64": lambda: baselines.linear(rna, atac, test, rank=64),
        "true type's mean (oracle)": lambda: baselines.cell_type_mean(atac, types, labels),
        "total RNA count alone": lambda: baselines.rna_depth(test, atac.shape[1]),
    }
    truth = query["atac"].X
    return {name: score_translation(truth, make(), labels) for name, make in predictions.items()}


def compare_embeddings(
    train: Any, query: Any, embedded: Any, labels: np.ndarray
) -> dict[str, dict[str, float]]:
    """Score scMomer's embedding of RNA alone and RNA principal components."""
    rna, test = train["rna"].X, query["rna"].X
    embeddings = {
        "scMomer": embedded.obsm["X_scmomer"],
        "50 RNA PCs": baselines.rna_pca(rna, test)[1],
        "50 RNA PCs, median target, scaled": baselines.rna_pca(
            rna, test, target_sum=None, scale=True
        )[1],
    }
    return {name: score_embedding(values, labels) for name, values in embeddings.items()}


def print_table(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print one line for each method."""
    columns = list(next(iter(rows.values())))
    print(f"\n{title:34s}" + "".join(f"{c:>20s}" for c in columns))
    for name, values in rows.items():
        print(f"{name:34s}" + "".join(f"{values[c]:20.3f}" for c in columns))


def main() -> None:
    """Run the demo."""
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    scvi.settings.seed = args.seed

    mdata = scmomer.datasets.snareseq_cortex()
    held_out = (mdata.obs["batch"] == args.batch).to_numpy()
    if not held_out.any():
        raise SystemExit(f"Expected a batch among {sorted(set(mdata.obs['batch']))}.")
    train, truth = mdata[~held_out].copy(), mdata[held_out].copy()
    query = truth["rna"].copy()  # RNA only: the missing-modality case

    scmomer.pp.setup_mudata(train, batch_key="batch")
    model = scmomer.SCMOMER(train)
    model.train()
    trained = time.perf_counter()
    model.save(args.out / "model.scmomer", overwrite=True)

    scmomer.tl.embed(query, model)
    translated = scmomer.tl.translate_atac(query, model, path=args.out / "translated_atac.h5ad")
    probabilities = translated.X[:]
    finished = time.perf_counter()

    labels = query.obs["cell_subtype"].astype(str).to_numpy()
    translation = compare_translations(train, truth, probabilities, labels)
    embedding = compare_embeddings(train, truth, query, labels)
    query.obsm["X_pca"] = baselines.rna_pca(train["rna"].X, query.X)[1]
    plots.umap_picture(query, args.out / "umap.png")
    plots.translation_picture(truth["atac"].X, probabilities, labels, args.out / "translation.png")

    query.write_h5ad(args.out / "query.h5ad")
    seconds = {
        "train": trained - started,
        "embed_and_translate": finished - trained,
        "all": time.perf_counter() - started,
    }
    report = {
        "held_out_batch": args.batch,
        "n_cells": {"train": train.n_obs, "query": query.n_obs},
        "seed": args.seed,
        "model": str(model._model_summary_string),
        "translation": translation,
        "embedding": embedding,
        "seconds": seconds,
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {p: version(p) for p in ("scmomer", "scvi-tools", "torch", "scanpy")},
    }
    (args.out / "metrics.json").write_text(json.dumps(report, indent=1))
    print(f"\nBatch {args.batch}: {query.n_obs} cells of which training saw nothing, RNA only in.")
    print_table("accessibility from RNA", translation)
    print_table("embedding (k-means vs subtype)", embedding)
    print(
        f"\n{seconds['train']:.0f} s training, {seconds['all']:.0f} s in all, "
        f"{report['peak_memory_gb']:.1f} GB. Results are in {args.out}/."
    )


if __name__ == "__main__":
    main()
