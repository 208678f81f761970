"""Predictions for test pairs: of embeddings and of controls."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedShuffleSplit

from scmomer.tasks.genes._classifiers import Split
from scmomer.tasks.genes._expression import expression_features
from scmomer.tasks.genes._inputs import GeneVectors
from scmomer.tasks.genes.interactions._heads import Head, fit_pairs
from scmomer.tasks.genes.interactions._negatives import Negatives, sample_negatives
from scmomer.tasks.genes.interactions._pairs import GenePairs, codes_of
from scmomer.tasks.genes.interactions._splits import PairSplit, n_seen, nearest_kind, split_pairs

logger = logging.getLogger(__name__)

_MIN_INNER = 20  # pairs of each class for the choice of C
_N_INNER = 3


@dataclass(frozen=True)
class PairProtocol:
    """How pairs are split, completed and scored."""

    split: PairSplit
    negatives: Negatives
    head: Head
    n_splits: int
    max_train_pairs: int
    n_bootstrap: int
    controls: bool
    seed: int


@dataclass(frozen=True)
class Side:
    """Pairs of both classes on one side of a split."""

    genes: np.ndarray
    """int ``(n_pairs, 2)``"""
    positive: np.ndarray
    """bool ``(n_pairs,)``"""


def complete(
    pairs: GenePairs, split: Split, how: PairProtocol, n_genes: int, number: int
) -> tuple[Side, Side]:
    """Return training and test pairs of a split, with negative ones."""
    train, test = (pairs.subset(rows) for rows in split)
    if how.negatives == "given":
        return Side(train.genes, train.positive), Side(test.genes, test.positive)
    rng = np.random.default_rng((how.seed, number))
    known = np.sort(codes_of(pairs.genes[pairs.positive], n_genes))
    seen = np.zeros(n_genes, bool)
    seen[train.genes] = True
    first = _with_negatives(train, seen, known, how, n_genes, rng)
    used = np.sort(np.concatenate([known, codes_of(first.genes[~first.positive], n_genes)]))
    return first, _with_negatives(test, seen, used, how, n_genes, rng)


def _with_negatives(
    pairs: GenePairs,
    seen: np.ndarray,
    forbidden: np.ndarray,
    how: PairProtocol,
    n_genes: int,
    rng: np.random.Generator,
) -> Side:
    negative = sample_negatives(how.negatives, pairs.genes, seen, forbidden, n_genes, rng)
    y = np.arange(len(pairs.genes) + len(negative)) < len(pairs.genes)
    return Side(np.concatenate([pairs.genes, negative]), y)


def predict_split(
    train: Side,
    test: Side,
    genes: GeneVectors,
    opponents: Mapping[str, np.ndarray],
    how: PairProtocol,
    number: int,
) -> dict[str, np.ndarray]:
    """Return the scores of test pairs by each row of the table, each ``(n_test,)``.

    Parameters
    ----------
    train, test
        Pairs of a split.
    genes
        The embedding.
    opponents
        Other embeddings of the same genes, each ``(n_genes, .)``.
    how, number
        Settings, and number of the split.
    """
    rng = np.random.default_rng((how.seed, number, 1))
    chosen = subsample(train, how.max_train_pairs, rng)
    kind = nearest_kind(train.genes, test.genes) if how.split == "given" else how.split
    inner = inner_splits(chosen, kind, how.seed)
    features = {"embedding": genes.vectors, **opponents}
    if how.controls:
        features |= expression_features(genes)
        features["random"] = rng.standard_normal(genes.vectors.shape, dtype=np.float32)
    found = {}
    for name, x in features.items():
        fitted = fit_pairs(how.head, x, chosen.genes, chosen.positive, inner)
        found[name] = fitted(x, test.genes)
    if how.controls:
        x = genes.vectors
        additive = fit_pairs("concatenated", x, chosen.genes, chosen.positive, inner)
        found["additive"] = additive(x, test.genes)
        degree = np.bincount(train.genes[train.positive].ravel(), minlength=len(x))
        found["degree"] = degree[test.genes].sum(axis=1).astype(float)
        if how.negatives != "degree":  # there a gene is as often negative as positive
            found["gene_score"] = _gene_score(test, len(x), rng)
    return found


def _gene_score(test: Side, n_genes: int, rng: np.random.Generator) -> np.ndarray:
    """Score pairs by how often their genes are positive in the other four fifths of test pairs."""
    part = rng.integers(5, size=len(test.positive))
    score = np.zeros(len(part))
    for i in range(5):
        other, here = part != i, part == i
        hits = np.bincount(test.genes[other & test.positive].ravel(), minlength=n_genes)
        every = np.bincount(test.genes[other].ravel(), minlength=n_genes)
        share = (hits + 1) / (every + 2)
        score[here] = np.log(share / (1 - share))[test.genes[here]].sum(axis=1)
    return score


def subsample(side: Side, most: int, rng: np.random.Generator) -> Side:
    """Return at most `most` pairs, drawn at random."""
    if len(side.genes) <= most:
        return side
    logger.info("%d of %d training pairs are used (max_train_pairs).", most, len(side.genes))
    rows = rng.permutation(len(side.genes))[:most]
    return Side(side.genes[rows], side.positive[rows])


def inner_splits(side: Side, kind: PairSplit, seed: int) -> list[Split]:
    """Return a split of training pairs of the same kind as the test, to choose C."""
    if kind in ("c2", "c3"):
        pairs = GenePairs(side.genes, side.positive, None)
        try:
            found = split_pairs(pairs, kind, _N_INNER, seed)[:1]
        except ValueError:  # too few pairs for genes apart
            found = []
        if found and all(_enough(side.positive[rows]) for rows in found[0]):
            return found
    if not _enough(side.positive):
        return []
    halves = StratifiedShuffleSplit(1, test_size=1 / _N_INNER, random_state=seed)
    return list(halves.split(side.genes, side.positive))


def _enough(y: np.ndarray) -> bool:
    return min(int(y.sum()), int((~y).sum())) >= _MIN_INNER


def describe(train: Side, test: Side, number: int) -> dict[str, float]:
    """Return the row of a split in ``folds``: numbers of pairs, shares by seen genes."""
    shares = np.bincount(n_seen(test.genes, train.genes), minlength=3) / len(test.genes)
    return {
        "fold": number,
        "n_train_positive": int(train.positive.sum()),
        "n_train_negative": int((~train.positive).sum()),
        "n_test_positive": int(test.positive.sum()),
        "n_test_negative": int((~test.positive).sum()),
        "both_seen": shares[2],
        "one_seen": shares[1],
        "none_seen": shares[0],
    }
