"""Held-out batches: scMomer and the baselines on the same cells, peaks and labels."""

from __future__ import annotations

import _baselines as baselines
import mudata
import numpy as np
import scipy.sparse as sp
from mudata import MuData
from sklearn.decomposition import TruncatedSVD

from scmomer import metrics

# For mudata 0.3: obs is not changed when cells are subset.
if hasattr(mudata, "set_options"):
    mudata.set_options(pull_on_update=False)
N_SVD = 30  # components of a translated profile for clustering
N_KMEANS = 5  # k-means runs whose agreement is averaged


def hold_out(mdata: MuData, batch: str) -> tuple[MuData, MuData]:
    """Return the cells of all other batches, and those of `batch` (several: ``09F+09H``)."""
    chosen = mdata.obs["batch"].isin(batch.split("+")).to_numpy()
    if not chosen.any():
        raise SystemExit(f"Expected a batch among {sorted(set(mdata.obs['batch']))}.")
    return mdata[~chosen].copy(), mdata[chosen].copy()


def score_translation(
    truth: sp.csr_matrix, score: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Score the ranking of cells within peaks, and the differences between types."""
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


def score_profile(score: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Agreement of clusters of the translated profile's singular vectors with the labels."""
    n = min(N_SVD, min(score.shape) - 1)
    profile = TruncatedSVD(n, random_state=0).fit_transform(score)
    return {f"profile_{key}": value for key, value in score_embedding(profile, labels).items()}


def classify(embedding: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and macro-F1 of logistic regression, three folds; unassigned cells left out."""
    return metrics.label_prediction(embedding, np.where(labels == "Mis", None, labels))


def compare_translations(
    train: MuData, query: MuData, translated: np.ndarray, labels: np.ndarray
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
    train: MuData, query: MuData, embedded: np.ndarray, labels: np.ndarray
) -> dict[str, dict[str, float]]:
    """Score scMomer's embedding of RNA alone and RNA principal components."""
    rna, test = train["rna"].X, query["rna"].X
    embeddings = {
        "scMomer": embedded,
        "50 RNA PCs": baselines.rna_pca(rna, test)[1],
        "50 RNA PCs, median target, scaled": baselines.rna_pca(
            rna, test, target_sum=None, scale=True
        )[1],
    }
    return {name: score_embedding(values, labels) for name, values in embeddings.items()}
