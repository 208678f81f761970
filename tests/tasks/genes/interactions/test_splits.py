"""Splits of pairs: which genes of test pairs were trained on."""

from __future__ import annotations

import numpy as np
import pytest

from scmomer.tasks.genes import GenePairs
from scmomer.tasks.genes.interactions._splits import check_split, n_seen, nearest_kind, split_pairs


def graph(n_genes=40, n_pairs=300, seed=0, fold=None, named=False) -> GenePairs:
    rng = np.random.default_rng(seed)
    i, j = np.triu_indices(n_genes, 1)
    chosen = rng.permutation(len(i))[:n_pairs]
    genes = np.stack([i[chosen], j[chosen]], axis=1)
    return GenePairs(genes, rng.random(n_pairs) < 0.5, fold, named)


@pytest.mark.parametrize(("kind", "seen"), [("c1", 2), ("c2", 1), ("c3", 0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_test_pairs_have_as_many_trained_genes_as_promised(kind, seen, seed):
    pairs = graph(seed=seed)
    splits = split_pairs(pairs, kind, 4, seed)
    assert len(splits) == 4
    for train, test in splits:
        trained = {int(g) for g in pairs.genes[train].ravel()}
        assert all((int(a) in trained) + (int(b) in trained) == seen for a, b in pairs.genes[test])
        assert not np.isin(test, train).any() and len(test) > 5
    every = np.concatenate([test for _, test in splits])
    if kind != "c2":  # there a pair may be tested for each of its genes
        assert len(np.unique(every)) == len(every)


def test_splits_are_reproducible_and_differ_by_seed():
    one, two, three = (split_pairs(graph(), "c3", 3, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(one, three, strict=True))


def test_a_pair_with_a_gene_that_has_no_other_pair_is_not_c1():
    pairs = GenePairs(
        np.array([[0, 1], [0, 2], [1, 2], [0, 3], [1, 3], [2, 3], [0, 9]]), np.ones(7, bool), None
    )
    for _, test in split_pairs(pairs, "c1", 2, 3):
        assert 6 not in test


def test_given_folds():
    named = graph(fold=np.arange(300) % 3, named=True)
    ((train, test),) = split_pairs(named, "given", 5, 0)
    assert (named.fold[train] == 0).all() and (named.fold[test] == 2).all() and len(test) == 100
    numbered = graph(fold=np.arange(300) % 3)
    splits = split_pairs(numbered, "given", 5, 0)
    assert [np.unique(numbered.fold[test]).tolist() for _, test in splits] == [[0], [1], [2]]
    assert all(len(train) == 200 for train, _ in splits)


def test_a_broken_split_is_noticed():
    train, test = np.array([[0, 1], [2, 3]]), np.array([[0, 2], [4, 5], [0, 9]])
    assert n_seen(test, train).tolist() == [2, 0, 1]
    check_split(train, test[:1], "c1")
    for kind in ("c1", "c2", "c3"):
        with pytest.raises(RuntimeError, match=kind):
            check_split(train, test, kind)


def test_the_kind_of_a_given_split():
    train = np.array([[0, 1], [2, 3]])
    assert nearest_kind(train, np.array([[4, 5], [6, 7]])) == "c3"
    assert nearest_kind(train, np.array([[4, 0]])) == "c2"
    with pytest.warns(UserWarning, match="both genes were trained on in 67%, one in 33%"):
        assert nearest_kind(train, np.array([[0, 2], [1, 3], [0, 9]])) == "c1"


def test_too_few_pairs_are_refused(refuses):
    pairs = GenePairs(np.array([[0, 1], [2, 3]]), np.ones(2, bool), None)
    with refuses(ValueError, "training and test pairs", "(c1)", "n_splits="):
        split_pairs(pairs, "c1", 2, 0)
