"""Scores of ``deep_encoder.py``: types from few labels, and hidden entries."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import StandardScaler

Scores = dict[str, float]
FEW = (5, 20)  # labeled cells of each type
_DRAWS = 5
_FIT = 6_000  # hidden entries that calibrate probabilities
_MIN_PER_CELL, _MIN_PER_GENE = 10, 15


def probe(
    train: np.ndarray,
    labels: np.ndarray,
    tests: dict[str, np.ndarray],
    truth: np.ndarray,
    seed: int,
) -> Scores:
    """Return accuracy and macro-F1 of logistic regression by labels given and kind of test cells.

    `train` and `tests` are dense features; those that are no log expression should have been scaled
    by :func:`scaled`.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for n in (*FEW, None):
        for draw in range(1 if n is None else _DRAWS):
            rng = np.random.default_rng([seed, draw])
            kept = np.arange(len(labels)) if n is None else _few(labels, n, rng)
            model = LogisticRegression(max_iter=300).fit(train[kept], labels[kept])
            for kind, features in tests.items():
                named = model.predict(features)
                score = accuracy_score(truth, named), f1_score(truth, named, average="macro")
                found.setdefault(f"{'all' if n is None else n}{kind}", []).append(score)
    means = {key: np.mean(scores, 0) for key, scores in found.items()}
    accuracy = {f"accuracy_{key}": float(mean[0]) for key, mean in means.items()}
    return accuracy | {f"macro_f1_{key}": float(mean[1]) for key, mean in means.items()}


def _few(labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    kept = [rng.permutation(np.flatnonzero(labels == name))[:n] for name in np.unique(labels)]
    return np.concatenate(kept)


def scaled(train: np.ndarray, tests: dict[str, np.ndarray]) -> tuple[np.ndarray, dict]:
    """Return features in units of their spread in training."""
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), {kind: scaler.transform(z) for kind, z in tests.items()}


class HiddenEntries:
    """Hidden expressed genes of test cells: what is true of them, and how predictions score.

    Parameters
    ----------
    counts
        Counts of the test cells.
    hidden
        Which stored counts are hidden.
    bins
        The true bin of each hidden count, from 0.
    gene_bins
        Share of the bins of each gene in training cells that express it, ``(n_genes, n_bins)``.
    """

    def __init__(
        self, counts: sp.csr_matrix, hidden: np.ndarray, bins: np.ndarray, gene_bins: np.ndarray
    ):
        cells = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        self.cells, self.genes = cells[hidden], counts.indices[hidden]
        totals = np.asarray(counts.sum(1)).ravel()
        seen = totals - np.bincount(self.cells, counts.data[hidden], counts.shape[0])
        self.depth = np.log1p(seen)[self.cells]
        self.value = np.log1p(counts.data[hidden] / totals[self.cells] * 1e4)
        self.bins, self.gene_bins = bins, gene_bins
        self.usual = gene_bins[self.genes] @ np.arange(gene_bins.shape[1])

    def score(self, value: np.ndarray, log_bins: np.ndarray | None = None) -> Scores:
        """Score predicted expression, and probabilities of bins if there are any.

        Cross-entropy of the true bin, in nats, after calibration by multinomial regression on the
        prediction, the gene's shares of bins and the cell's visible depth: the same for all methods,
        fitted on other cells. Rank correlation within cells (over the hidden genes of a cell) and
        within genes (over the cells in which a gene is hidden, at equal depth: partial).
        """
        found = {
            "spearman_within_cells": _mean_spearman(self.cells, self.value, value, _MIN_PER_CELL),
            "spearman_within_genes": _mean_spearman(
                self.genes, self.value, value, _MIN_PER_GENE, self.depth
            ),
            "cross_entropy": self._cross_entropy(value, log_bins),
        }
        if log_bins is not None:
            own = -log_bins[np.arange(len(self.bins)), self.bins].mean()
            found["cross_entropy_as_is"] = float(own)
        return found

    def _cross_entropy(self, value: np.ndarray, log_bins: np.ndarray | None) -> float:
        parts = [np.log(self.gene_bins[self.genes]), self.depth[:, None], value[:, None]]
        parts.append((value * self.usual)[:, None])  # a value means more in some genes
        if log_bins is not None:
            parts.append(log_bins)
        features = StandardScaler().fit_transform(np.concatenate(parts, 1))
        side, rng, losses = self.cells % 2, np.random.default_rng(0), []
        for test in (0, 1):
            known = rng.permutation(np.flatnonzero(side != test))[:_FIT]
            model = LogisticRegression(max_iter=200).fit(features[known], self.bins[known])
            rows = np.flatnonzero(side == test)
            logs = model.predict_log_proba(features[rows])
            column = np.searchsorted(model.classes_, self.bins[rows])
            losses.append(-logs[np.arange(len(rows)), column])
        return float(np.concatenate(losses).mean())


def _mean_spearman(
    groups: np.ndarray,
    truth: np.ndarray,
    found: np.ndarray,
    least: int,
    given: np.ndarray | None = None,
) -> float:
    """Return the mean over groups of rank correlations, partial ones if `given` another variable.

    A prediction that is constant in a group has a correlation of zero.
    """
    order = np.argsort(groups, kind="stable")
    cuts = np.flatnonzero(np.diff(groups[order])) + 1
    values = []
    for rows in np.split(order, cuts):
        if len(rows) < least or np.ptp(truth[rows]) == 0:
            continue
        ranks = [rankdata(v[rows]) for v in (truth, found)]
        ranks = [r - r.mean() for r in ranks]
        if given is not None:
            other = rankdata(given[rows])
            other -= other.mean()
            ranks = [r - other * (r @ other) / max(other @ other, 1e-12) for r in ranks]
        a, b = ranks
        size = np.sqrt((a @ a) * (b @ b))
        values.append(a @ b / size if size > 1e-9 * len(rows) ** 3 else 0.0)
    return float(np.mean(values)) if values else float("nan")
