"""Figures of the demo."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData

N_TYPES = 6  # most frequent types, shown in the translation figure
N_PEAKS = 20  # top differential peaks of each type
MIN_RATE = 0.01  # minimum predicted mean accessibility of a shown peak


def umap_picture(query: AnnData, path: Path) -> None:
    """Plot UMAPs of RNA principal components and of scMomer's embedding, by true type."""
    figure, axes = plt.subplots(1, 2, figsize=(13, 5.2))
    shown = query[query.obs["cell_type"] != "Mis"].copy()
    shown.obs["cell_type"] = shown.obs["cell_type"].cat.remove_unused_categories()
    pairs = (("X_pca", "50 RNA principal components"), ("X_scmomer", "scMomer, from RNA alone"))
    for ax, (key, title) in zip(axes, pairs, strict=True):
        sc.pp.neighbors(shown, use_rep=key, random_state=0)
        sc.tl.umap(shown, random_state=0)
        last = key == "X_scmomer"
        sc.pl.umap(
            shown,
            color="cell_type",
            ax=ax,
            show=False,
            title=title,
            size=22,
            palette="tab20",
            legend_loc="right margin" if last else "none",
            frameon=False,
        )
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _by_type(matrix: sp.csr_matrix | np.ndarray, labels: np.ndarray, types: list) -> np.ndarray:
    rows = [np.asarray(matrix[labels == t].mean(0)).ravel() for t in types]
    return np.stack(rows)  # (n_types, n_peaks)


def translation_picture(
    truth: sp.csr_matrix, predicted: np.ndarray, labels: np.ndarray, path: Path
) -> None:
    """Plot measured and translated accessibility of the most specific predicted peaks.

    Peaks are selected by the translation alone and shown relative to their mean over types.
    """
    names, counts = np.unique(labels[labels != "Mis"], return_counts=True)
    types = names[np.argsort(-counts)[:N_TYPES]].tolist()
    measured = _by_type((truth > 0).astype(np.float32), labels, types)
    translated = _by_type(predicted, labels, types)
    contrast = np.where(translated.mean(0) >= MIN_RATE, translated - translated.mean(0), -1)
    peaks = np.concatenate([np.argsort(-row)[:N_PEAKS] for row in contrast])
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.6), width_ratios=(1, 1, 0.8))
    for ax, values, title in zip(
        axes, (measured, translated), ("measured ATAC", "translated from RNA"), strict=False
    ):
        relative = (values - values.mean(0))[:, peaks]
        limit = np.quantile(np.abs(relative), 0.99) or 1.0
        image = ax.imshow(relative, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set_yticks(range(len(types)), types)
        ax.set_xticks(np.arange(len(types)) * N_PEAKS + N_PEAKS / 2 - 0.5, types, rotation=60)
        ax.set_title(f"{title}\n(share open, minus mean of types)")
        figure.colorbar(image, ax=ax)
    _scatter(axes[2], measured, translated)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _scatter(ax: plt.Axes, measured: np.ndarray, translated: np.ndarray) -> None:
    x, y = (values - values.mean(0) for values in (measured, translated))
    pearson = np.corrcoef(x.ravel(), y.ravel())[0, 1]
    ax.hexbin(x.ravel(), y.ravel(), gridsize=60, bins="log", cmap="viridis", linewidths=0.2)
    ax.set_xlabel("measured, type minus mean")
    ax.set_ylabel("translated, type minus mean")
    ax.set_title(f"all peaks x {len(measured)} types, r = {pearson:.2f}")
