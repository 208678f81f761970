"""Splits of pairs by how many of their genes were trained on (Park and Marcotte 2012)."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np

from scmomer.data import warn
from scmomer.tasks.genes._classifiers import Split
from scmomer.tasks.genes.interactions._pairs import TEST, TRAIN, GenePairs

logger = logging.getLogger(__name__)

PairSplit = Literal["given", "c1", "c2", "c3"]
N_SEEN = {"c1": 2, "c2": 1, "c3": 0}
"""Genes of a test pair that occur in training pairs."""


def n_seen(test: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return how many genes of each test pair are in a training pair, ``(n_test,)``."""
    return np.isin(test, np.unique(train)).sum(axis=1)


def split_pairs(pairs: GenePairs, kind: PairSplit, n_splits: int, seed: int) -> list[Split]:
    """Return rows of training and test pairs of each split.

    Parameters
    ----------
    pairs
        All pairs; for ``"given"`` with folds.
    kind
        ``"c1"``: both genes of a test pair are in training pairs; ``"c2"``: exactly one;
        ``"c3"``: none. Pairs that are neither are left out of a split. ``"given"``: by fold.
    n_splits
        Parts into which pairs (C1) or genes (C2, C3) are divided; each is tested once.
    seed
        Seed.

    Raises
    ------
    ValueError
        If a split has no training or no test pairs.
    """
    rng = np.random.default_rng(seed)
    if kind == "given":
        splits = _given(pairs)
    elif kind == "c1":
        part = rng.permutation(np.arange(len(pairs.genes)) % n_splits)
        splits = [_only(pairs, part != i, part == i, 2) for i in range(n_splits)]
    else:
        genes = np.unique(pairs.genes)
        part = np.zeros(genes.max() + 1, int)
        part[genes] = rng.permutation(np.arange(len(genes)) % n_splits)
        n_held = [(part[pairs.genes] == i).sum(axis=1) for i in range(n_splits)]
        wanted = 1 if kind == "c2" else 2
        splits = [_only(pairs, n == 0, n == wanted, N_SEEN[kind]) for n in n_held]
    for train, test in splits:
        if not len(train) or not len(test):
            msg = (
                f"Expected training and test pairs in each split, found {len(train)} and "
                f"{len(test)} ({kind}). Pass another n_splits= or split=."
            )
            raise ValueError(msg)
        check_split(pairs.genes[train], pairs.genes[test], kind)
    return splits


def _only(pairs: GenePairs, train: np.ndarray, test: np.ndarray, seen: int) -> Split:
    """Keep test pairs of which exactly `seen` genes are in a training pair."""
    rows = np.flatnonzero(test)
    rows = rows[n_seen(pairs.genes[rows], pairs.genes[train]) == seen]
    return np.flatnonzero(train), rows


def check_split(train: np.ndarray, test: np.ndarray, kind: PairSplit) -> None:
    """Raise if a test pair has not as many genes in training pairs as its split promises."""
    if kind != "given" and (n_seen(test, train) != N_SEEN[kind]).any():
        msg = f"A test pair of {kind} has other than {N_SEEN[kind]} genes in training pairs."
        raise RuntimeError(msg)


def _given(pairs: GenePairs) -> list[Split]:
    assert pairs.fold is not None
    if pairs.named_folds:
        rows = [np.flatnonzero(pairs.fold == fold) for fold in (TRAIN, TEST)]
        if n := len(pairs.fold) - sum(map(len, rows)):
            logger.info("%d pairs of the validation fold are not used.", n)
        return [(rows[0], rows[1])]
    return [
        (np.flatnonzero(pairs.fold != fold), np.flatnonzero(pairs.fold == fold))
        for fold in np.unique(pairs.fold)
    ]


def nearest_kind(train: np.ndarray, test: np.ndarray) -> Literal["c1", "c2", "c3"]:
    """Return the kind of split that most test pairs belong to; warns if pairs are of several."""
    shares = np.bincount(n_seen(test, train), minlength=3) / len(test)
    if shares.max() < 0.95:
        warn(
            f"Test pairs of the given split are mixed: both genes were trained on in "
            f"{shares[2]:.0%}, one in {shares[1]:.0%}, none in {shares[0]:.0%}. Scores say little "
            "about new genes; compare with split='c3'."
        )
    kinds: tuple[Literal["c3"], Literal["c2"], Literal["c1"]] = ("c3", "c2", "c1")
    return kinds[int(shares.argmax())]
