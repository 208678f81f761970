"""Linear model of genes and perturbations, and ridge on embeddings of perturbed genes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV

from scmomer.data import GeneTable
from scmomer.tasks.perturbation.naive._means import Parts, training_mean
from scmomer.tasks.perturbation.screen._effects import Effects
from scmomer.tasks.perturbation.screen._gene_names import find_genes

_PENALTIES: Final = np.logspace(0, 5, 11)
_MIN_RIDGE: Final = 3  # training perturbations with an embedding, to choose a penalty


def linear_gwp(
    train: Effects,
    parts: Parts,
    groups: Sequence[str],
    *,
    embeddings: pd.DataFrame | None = None,
    n_components: int = 10,
    penalty: float = 0.1,
    aliases: GeneTable | None = None,
) -> np.ndarray:
    r"""Predict by ``b + G W p`` of factors of genes and of perturbations.

    ``G`` are principal components of genes over training pseudobulks, ``p`` the sum of the rows of
    the perturbed genes in ``G`` or in `embeddings`. A perturbation without any has the mean.

    Parameters
    ----------
    train, parts, groups
        Training changes, and what to predict; groups share one model.
    embeddings
        Genes x dimensions; None: ``G``, for which perturbed genes must be measured.
    n_components, penalty
        Components of ``G``, and ridge penalty of both sides.
    aliases
        Further names of genes.

    Notes
    -----
    Ahlmann-Eltze, Huber and Anders (2025), Nature Methods 22, 1657-1661.
    """
    predicted = training_mean(train, parts, groups)
    change = train.change
    profiles = train.perturbed - train.perturbed.mean(axis=0)
    factors = np.linalg.svd(profiles, full_matrices=False)[2][:n_components].T
    table = pd.DataFrame(factors, train.genes) if embeddings is None else embeddings
    ours, known = part_sums(table, train.parts, aliases)
    theirs, wanted = part_sums(table, parts, aliases)
    if not known.any() or not wanted.any():
        return predicted
    mean = change[known].mean(axis=0)
    p = ours[known]
    left = np.linalg.solve(_ridged(factors.T @ factors, penalty), factors.T)
    w = left @ (change[known] - mean).T @ p @ np.linalg.inv(_ridged(p.T @ p, penalty))
    predicted[wanted] = mean + theirs[wanted] @ w.T @ factors.T
    return predicted


def embedding_ridge(
    train: Effects,
    parts: Parts,
    groups: Sequence[str],
    *,
    embeddings: pd.DataFrame,
    aliases: GeneTable | None = None,
) -> np.ndarray:
    """Predict changes about the training mean by ridge on embeddings of perturbed genes.

    Dimensions are standardized over the genes that are perturbed in training; the penalty is chosen by leaving one
    out. Parts of a combination are summed; what has no embedding has the mean.

    Parameters
    ----------
    train, parts, groups, aliases
        As of :func:`linear_gwp`.
    embeddings
        Genes x dimensions.
    """
    predicted = training_mean(train, parts, groups)
    named = sorted({part for p in train.parts for part in p})
    at = find_genes(named, embeddings.index, aliases)
    if (at >= 0).sum() < _MIN_RIDGE:
        return predicted
    # Each part is standardized, then summed: a sum of two is not far from all single ones.
    rows = embeddings.iloc[at[at >= 0]]
    spread = rows.std(ddof=0).replace(0.0, 1.0)
    table = (embeddings - rows.mean()) / spread
    ours, known = part_sums(table, train.parts, aliases)
    theirs, wanted = part_sums(table, parts, aliases)
    if known.sum() < _MIN_RIDGE or not wanted.any():
        return predicted
    x, query = ours[known], theirs[wanted]
    # The mean of each group is what a perturbation without embedding has too.
    own = training_mean(train, train.parts, train.groups)
    fitted = RidgeCV(_PENALTIES).fit(x, (train.change - own)[known])
    predicted[wanted] += fitted.predict(query).reshape(len(query), -1)
    return predicted


def part_sums(
    table: pd.DataFrame, parts: Parts, aliases: GeneTable | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of the rows of the parts ``(n, n_columns)``, and which have all, ``(n,)``."""
    named = sorted({part for p in parts for part in p})
    at = dict(zip(named, find_genes(named, table.index, aliases), strict=True))
    values = np.vstack([table.to_numpy(np.float64), np.zeros(table.shape[1])])  # -1: the last
    rows = [[at[part] for part in p] for p in parts]
    sums = np.stack([values[r].sum(axis=0) for r in rows])
    return sums, np.array([min(r) >= 0 for r in rows], bool)


def _ridged(matrix: np.ndarray, penalty: float) -> np.ndarray:
    return matrix + penalty * np.eye(len(matrix))
