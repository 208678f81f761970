"""Predictors of accessibility and of expression for ``deep.py``, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _baselines as baselines
import numpy as np
import scipy.sparse as sp
import torch
from _deep_sources import Deep
from torch import nn

Predictors = dict[str, Callable[[], np.ndarray]]
_HIDDEN, _RANK, _DROP, _EPOCHS, _BATCH, _LR = 256, 32, 0.1, 20, 128, 2e-3


def accessibility(data: Deep, seed: int) -> Predictors:
    """Return predictors of accessibility from RNA, and the truth of synthetic cells."""
    rna, atac, query = data.train["rna"].X, data.train["atac"].X, data.test["rna"].X
    n = _components(rna)
    found: Predictors = {
        "train mean": lambda: baselines.train_mean(rna, atac, query),
        "true type's mean (oracle)": lambda: baselines.cell_type_mean(
            atac, data.labels(data.train), data.labels(data.test)
        ),
        "kNN, 50 cells": lambda: baselines.knn(rna, atac, query, k=50, n_comps=n),
        "linear, rank 64, on PCs": lambda: baselines.linear(
            rna, atac, query, rank=min(64, min(atac.shape) - 1), n_comps=n
        ),
        "MLP on genes": lambda: baselines.perceptron(rna, atac, query, seed=seed)[0],
    }
    if rna.shape[1] > 50:
        found["MLP on PCs"] = lambda: baselines.perceptron(
            rna, atac, query, features="pcs", seed=seed
        )[0]
    truth, cells = data.truth, data.unseen
    if truth is not None and cells is not None:
        known = np.unique(truth.batch[np.setdiff1d(np.arange(len(truth.batch)), cells)])
        found["what RNA can tell (oracle)"] = lambda: truth.accessibility(cells, known)
        found["generating probabilities (oracle)"] = lambda: truth.accessibility(cells)
    return found


def expression(data: Deep, scale: float, seed: int) -> tuple[np.ndarray, Predictors]:
    """Return measured log2 expression of unseen cells at a target sum, and its predictors."""
    per_log2 = np.float32(1 / np.log(2))
    rna = baselines.log_normalize(data.train["rna"].X, scale) * per_log2
    measured = (baselines.log_normalize(data.test["rna"].X, scale) * per_log2).toarray()
    n = _components(data.train["atac"].X)
    known, query = baselines.lsi(data.train["atac"].X, data.test["atac"].X, n)
    types = [data.labels(part) for part in (data.train, data.test)]
    found: Predictors = {
        "train mean": lambda: np.repeat(np.asarray(rna.mean(0)), len(measured), 0),
        "true type's mean (oracle)": lambda: _type_mean(rna, *types),
        "kNN, 50 cells": lambda: baselines.neighbor_mean(known, rna, query, 50),
        "linear on LSI": lambda: baselines.least_squares(known, rna, query),
        "MLP on LSI": lambda: regression(known, rna, query, seed),
    }
    truth, cells = data.truth, data.unseen
    if truth is not None and cells is not None:
        batches = np.unique(truth.batch[np.setdiff1d(np.arange(len(truth.batch)), cells)])
        found["what ATAC can tell (oracle)"] = lambda: truth.expression(cells, scale, batches)
        found["generating rates (oracle)"] = lambda: truth.expression(cells, scale)
    return measured, found


def regression(
    known: np.ndarray, target: sp.csr_matrix, query: np.ndarray, seed: int
) -> np.ndarray:
    """Predict expression by a perceptron on components: squared error of standardized genes."""
    torch.manual_seed(seed)
    mean, std = known.mean(0), known.std(0)
    x, q = (torch.from_numpy(((m - mean) / std).astype(np.float32)) for m in (known, query))
    dense = target.toarray()
    level, spread = dense.mean(0), np.maximum(dense.std(0), 0.05)
    y = torch.from_numpy((dense - level) / spread)
    net = nn.Sequential(
        nn.Linear(x.shape[1], _HIDDEN),
        nn.ReLU(),
        nn.Dropout(_DROP),
        nn.Linear(_HIDDEN, _RANK),
        nn.Linear(_RANK, y.shape[1]),
    )
    n_steps = _EPOCHS * -(-len(x) // _BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=_LR, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=n_steps)
    for _ in range(_EPOCHS):
        for cells in torch.randperm(len(x)).split(_BATCH):
            loss = (net(x[cells]) - y[cells]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        return np.maximum(net(q).numpy() * spread + level, 0)


def embeddings(data: Deep) -> dict[str, Callable[[], np.ndarray]]:
    """Return components of unseen cells, fitted to training cells."""
    (rna, test), (atac, opened) = ((data.train[m].X, data.test[m].X) for m in ("rna", "atac"))
    n, k = _components(rna), _components(atac)

    def pcs(**options: Any) -> np.ndarray:
        return baselines.rna_pca(rna, test, n, **options)[1]

    return {
        "50 RNA PCs": pcs,
        "50 RNA PCs, median target, scaled": lambda: pcs(target_sum=None, scale=True),
        "50 ATAC LSI": lambda: baselines.lsi(atac, opened, k)[1],
        "PCs and LSI": lambda: np.hstack([pcs(), baselines.lsi(atac, opened, k)[1]]),
    }


def _components(matrix: sp.csr_matrix) -> int:
    return min(50, min(matrix.shape) - 2)


def _type_mean(target: sp.csr_matrix, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the mean of training cells of the same type; of all, for a type without any."""
    overall = np.asarray(target.mean(0)).ravel()
    means = {t: np.asarray(target[known == t].mean(0)).ravel() for t in np.unique(known)}
    return np.stack([means.get(t, overall) for t in asked]).astype(np.float32)
