"""Negative pairs: none is positive, and degrees are kept."""

from __future__ import annotations

import numpy as np
import pytest

from scmomer.tasks.genes.interactions._negatives import sample_negatives
from scmomer.tasks.genes.interactions._pairs import codes_of

N = 60


def hubs(n_pairs=250, seed=0) -> np.ndarray:
    """Pairs in which the first genes are frequent."""
    rng = np.random.default_rng(seed)
    weight = 1 / np.arange(1, N + 1) ** 0.7
    drawn = rng.choice(N, size=(20 * n_pairs, 2), p=weight / weight.sum())
    drawn = np.sort(drawn[drawn[:, 0] != drawn[:, 1]], axis=1)
    unique = np.unique(drawn, axis=0)
    return rng.permutation(unique)[:n_pairs]


def draw(kind, positive, seen=None, forbidden=None):
    known = np.sort(codes_of(positive, N)) if forbidden is None else forbidden
    seen = np.ones(N, bool) if seen is None else seen
    return sample_negatives(kind, positive, seen, known, N, np.random.default_rng(1))


@pytest.mark.parametrize("kind", ["uniform", "degree"])
def test_negative_pairs_are_new_different_and_of_the_same_genes(kind):
    positive = hubs()
    negative = draw(kind, positive)
    codes = codes_of(negative, N)
    assert len(np.unique(codes)) == len(codes) == len(positive)
    assert not np.isin(codes, codes_of(positive, N)).any()
    assert (negative[:, 0] < negative[:, 1]).all() and np.isin(negative, positive).all()


def test_degrees_are_kept_by_one_and_not_by_the_other():
    positive = hubs()
    degree, uniform = (
        np.bincount(draw(kind, positive).ravel(), minlength=N) for kind in ("degree", "uniform")
    )
    true = np.bincount(positive.ravel(), minlength=N)
    assert np.array_equal(degree, true)
    assert np.abs(uniform - true).sum() > 0.3 * true.sum()


@pytest.mark.parametrize("kind", ["uniform", "degree"])
def test_a_negative_pair_has_as_many_trained_genes(kind):
    positive, seen = hubs(), np.arange(N) < 20
    negative = draw(kind, positive, seen)
    assert np.array_equal(np.bincount(seen[negative].sum(1)), np.bincount(seen[positive].sum(1)))
    if kind == "degree":
        assert np.array_equal(np.bincount(negative.ravel()), np.bincount(positive.ravel()))


def test_forbidden_pairs_are_not_drawn_and_the_impossible_is_dropped():
    star = np.stack([np.zeros(10, int), np.arange(1, 11)], axis=1)  # nothing can be exchanged
    with pytest.warns(UserWarning, match="of 10 negative pairs could not be drawn.*'degree'"):
        assert len(draw("degree", star)) < 6
    positive = hubs()
    other = draw("degree", positive)
    forbidden = np.sort(np.concatenate([codes_of(positive, N), codes_of(other, N)]))
    assert not np.isin(codes_of(draw("degree", positive, forbidden=forbidden), N), forbidden).any()
    assert len(draw("degree", positive[:0])) == 0
