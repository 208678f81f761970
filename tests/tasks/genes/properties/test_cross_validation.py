"""Folds, and the standard error of repeated folds."""

from __future__ import annotations

import numpy as np
import pytest

from scmomer.tasks.genes.properties._cross_validation import corrected_se, make_folds

Y = np.arange(60) < 20


def test_folds_are_stratified_and_each_repeat_tests_every_gene_once():
    splits = make_folds(Y, 5, 3, None, 0)
    assert len(splits) == 15
    for repeat in range(3):
        tested = np.concatenate([test for _, test in splits[5 * repeat : 5 * repeat + 5]])
        assert sorted(tested) == list(range(60))
    assert all(Y[test].sum() == 4 and not np.isin(test, train).any() for train, test in splits)
    again = make_folds(Y, 5, 3, None, 0)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(splits, again, strict=True))


def test_groups_are_not_divided():
    groups = np.arange(60) // 3
    for train, test in make_folds(Y, 5, 2, groups, 0):
        assert not np.isin(groups[test], groups[train]).any()


def test_the_standard_error_of_nadeau_and_bengio():
    splits = [(np.arange(80), np.arange(20))] * 4
    scores = np.array([0.5, 0.6, 0.7, 0.8])
    variance = ((scores - 0.65) ** 2).sum() / 3
    assert corrected_se(scores, splits) == pytest.approx(np.sqrt((1 / 4 + 20 / 80) * variance))
    with_nan = np.append(scores, np.nan)
    assert corrected_se(with_nan, [*splits, splits[0]]) == corrected_se(scores, splits)
    assert np.isnan(corrected_se(scores[:1], splits))
