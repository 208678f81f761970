"""Pairs that are not known to interact."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np

from scmomer.data import warn
from scmomer.tasks.genes.interactions._pairs import codes_of

logger = logging.getLogger(__name__)

Negatives = Literal["given", "uniform", "degree"]
_MAX_ROUNDS = 200
_MANY = 0.05  # share of negative pairs


def sample_negatives(
    kind: Negatives,
    positive: np.ndarray,
    seen: np.ndarray,
    forbidden: np.ndarray,
    n_genes: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return as many negative as positive pairs, of the same genes, int ``(n_negative, 2)``.

    Parameters
    ----------
    kind
        ``"uniform"``: any two genes that occur in the positive pairs. ``"degree"``: partners are
        exchanged among positive pairs, so that a gene is as often in negative as in positive pairs
        (except for few pairs that cannot be exchanged).
    positive
        Positive pairs of one side of a split, int ``(n_positive, 2)``.
    seen
        Genes with training pairs, bool ``(n_genes,)``. A negative pair has as many of them as the
        positive pair it is made from.
    forbidden
        Sorted codes of pairs that must not be drawn, ``(n_codes,)``.
    n_genes
        Number of genes, for codes.
    rng
        Random numbers.
    """
    if not len(positive):
        return positive
    number = seen[positive].sum(axis=1)
    parts = []
    for n in np.unique(number):
        pairs = positive[number == n].copy()
        flip = seen[pairs[:, 0]] if n == 1 else rng.random(len(pairs)) < 0.5
        pairs[flip] = pairs[flip][:, ::-1]  # the unseen gene first, or any
        parts.append(_redraw(kind, pairs, forbidden, n_genes, rng))
    found = np.sort(np.concatenate(parts), axis=1)
    n_less = len(positive) - len(found)
    text = f"{n_less} of {len(positive)} negative pairs could not be drawn"
    if n_less > _MANY * len(positive):
        warn(
            f"{text}, as some genes interact with most others. These genes are in fewer negative "
            "than positive pairs; see the row 'degree'."
        )
    elif n_less:
        logger.info("%s.", text)
    return found


def _redraw(
    kind: Negatives,
    pairs: np.ndarray,
    forbidden: np.ndarray,
    n_genes: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Exchange partners, or draw genes, until no pair is forbidden, repeated or a gene with itself."""
    left, right = (np.unique(pairs[:, side]) for side in (0, 1))
    found = pairs.copy()
    found[:, 1] = rng.permutation(found[:, 1])
    bad = np.arange(len(found)) if kind == "uniform" else _bad(found, forbidden, n_genes)
    for _ in range(_MAX_ROUNDS):
        if not len(bad):
            break
        if kind == "uniform":
            found[bad] = np.stack([rng.choice(left, len(bad)), rng.choice(right, len(bad))], axis=1)
        else:
            _exchange(found, bad, forbidden, n_genes, rng)
        bad = _bad(found, forbidden, n_genes)
    return np.delete(found, bad, axis=0)


def _exchange(
    found: np.ndarray,
    bad: np.ndarray,
    forbidden: np.ndarray,
    n_genes: int,
    rng: np.random.Generator,
) -> None:
    """Swap partners of bad pairs with those of random pairs where that is no worse; in place."""
    bad = rng.permutation(bad)
    other = rng.permutation(len(found))[: len(bad)]
    apart = ~np.isin(other, bad)
    if not apart.any():  # nearly all are bad: permute among themselves
        found[bad, 1] = rng.permutation(found[bad, 1])
        return
    bad, other = bad[: len(other)][apart], other[apart]
    one = np.stack([found[bad, 0], found[other, 1]], axis=1)
    two = np.stack([found[other, 0], found[bad, 1]], axis=1)
    taken = np.sort(codes_of(found, n_genes))
    good = ~(_is_in(one, forbidden, n_genes) | _is_in(two, forbidden, n_genes))
    good &= ~(_is_in(one, taken, n_genes) | _is_in(two, taken, n_genes))
    found[bad[good]], found[other[good]] = one[good], two[good]


def _is_in(pairs: np.ndarray, codes: np.ndarray, n_genes: int) -> np.ndarray:
    """Whether a pair has one of the sorted codes, or one gene twice, ``(n_pairs,)``."""
    same = pairs[:, 0] == pairs[:, 1]
    if not len(codes):
        return same
    wanted = codes_of(pairs, n_genes)
    at = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    return same | (codes[at] == wanted)


def _bad(pairs: np.ndarray, forbidden: np.ndarray, n_genes: int) -> np.ndarray:
    """Return rows of pairs that are forbidden, repeated, or a gene with itself."""
    first = np.unique(codes_of(pairs, n_genes), return_index=True)[1]
    repeated = np.ones(len(pairs), bool)
    repeated[first] = False
    return np.flatnonzero(repeated | _is_in(pairs, forbidden, n_genes))
