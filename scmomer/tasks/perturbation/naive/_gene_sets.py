"""Predictions from perturbed genes that share gene sets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scmomer.data import GeneTable
from scmomer.tasks.perturbation.naive._means import Parts, training_mean
from scmomer.tasks.perturbation.screen._effects import Effects
from scmomer.tasks.perturbation.screen._gene_names import find_genes

GeneSetTable = Mapping[str, Collection[str]]
_SIZES: Final = (5, 500)  # genes of a set; larger ones say little, smaller ones are rare


def gene_set_kernel_ridge(
    train: Effects,
    parts: Parts,
    groups: Sequence[str],
    *,
    gene_sets: GeneSetTable,
    penalty: float = 0.3,
    aliases: GeneTable | None = None,
) -> np.ndarray:
    """Predict by kernel ridge about the training mean; the kernel is the Jaccard index of sets.

    The sets of a combination are those of any part. What is in no set has the mean.

    Parameters
    ----------
    train, parts, groups
        Training changes, and what to predict.
    gene_sets
        Genes of each set.
    penalty
        Ridge penalty; the kernel is 1 on its diagonal.
    aliases
        Further names of genes.
    """
    ours, theirs = (memberships(gene_sets, p, aliases) for p in (train.parts, parts))
    kernel, query = jaccard(ours, ours), jaccard(theirs, ours)
    residual = train.change - training_mean(train, train.parts, train.groups)
    weights = np.linalg.solve(kernel + penalty * np.eye(len(kernel)), residual)
    return training_mean(train, parts, groups) + query @ weights


def gene_set_neighbors(
    train: Effects,
    parts: Parts,
    groups: Sequence[str],
    *,
    gene_sets: GeneSetTable,
    k: int = 3,
    aliases: GeneTable | None = None,
) -> np.ndarray:
    """Predict the mean change of the `k` training perturbations that share most gene sets.

    What shares none has the mean of training perturbations. Parameters are those of
    :func:`gene_set_kernel_ridge`.
    """
    ours, theirs = (memberships(gene_sets, p, aliases) for p in (train.parts, parts))
    similar, predicted = jaccard(theirs, ours), training_mean(train, parts, groups)
    own = np.asarray(train.groups, dtype=object)
    change = train.change
    for i, group in enumerate(groups):
        here = similar[i] * (own == group if (own == group).any() else True)
        nearest = np.argsort(-here, kind="stable")[:k]
        nearest = nearest[here[nearest] > 0]
        if len(nearest):
            predicted[i] = change[nearest].mean(axis=0)
    return predicted


def memberships(
    gene_sets: GeneSetTable, parts: Parts, aliases: GeneTable | None = None
) -> sp.csr_array:
    """Return the sets that some part of each perturbation is in, ``(n, n_sets)`` of 0 and 1."""
    sets = [genes for genes in gene_sets.values() if _SIZES[0] <= len(genes) <= _SIZES[1]]
    vocabulary = pd.Index(sorted({str(gene) for genes in sets for gene in genes}), dtype=object)
    sizes = [len(genes) for genes in sets]
    gene = vocabulary.get_indexer([str(g) for genes in sets for g in genes])
    shape = (len(vocabulary), len(sets))
    of = sp.csr_array((np.ones(len(gene)), (gene, np.repeat(np.arange(len(sets)), sizes))), shape)
    named = sorted({part for p in parts for part in p})
    at = dict(zip(named, find_genes(named, vocabulary, aliases), strict=True))
    pairs = [(row, at[part]) for row, p in enumerate(parts) for part in p if at[part] >= 0]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    has = sp.csr_array((np.ones(len(rows)), (rows, columns)), (len(parts), len(vocabulary)))
    return ((has @ of) > 0).astype(np.float64).tocsr()


def jaccard(one: sp.csr_array, other: sp.csr_array) -> np.ndarray:
    """Return the Jaccard index of each pair of rows, ``(n_one, n_other)``; 0 of empty rows."""
    shared = (one @ other.T).toarray()
    total = one.sum(axis=1)[:, None] + other.sum(axis=1)[None, :] - shared
    return np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)
