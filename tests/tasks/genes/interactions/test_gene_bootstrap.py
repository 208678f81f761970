"""Weighted scores of pairs, and the bootstrap of genes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from scmomer.tasks.genes.interactions._gene_bootstrap import RankedPairs, resampled


@pytest.mark.parametrize("levels", [3, 1000], ids=["ties", "distinct"])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_those_of_scikit_learn(levels, weighted):
    rng = np.random.default_rng(0)
    score, y = rng.integers(levels, size=200).astype(float), rng.random(200) < 0.3
    weight = rng.integers(4, size=200).astype(float) if weighted else None
    found = RankedPairs(score, y).scores(weight)
    assert found[0] == pytest.approx(roc_auc_score(y, score, sample_weight=weight))
    assert found[1] == pytest.approx(average_precision_score(y, score, sample_weight=weight))


def test_one_class_has_no_score():
    assert np.isnan(RankedPairs(np.arange(4.0), np.ones(4, bool)).scores()).all()


def test_weights_are_products_of_draws_and_the_same_in_all_splits():
    pairs = [np.array([[0, 1], [2, 3]]), np.array([[0, 1], [1, 3]])]
    draws = list(resampled(pairs, 9, 400, 0))
    assert len(draws) == 400 and all(w[0][0] == w[1][0] for w in draws)
    first = np.array([w[0] for w in draws])
    # Counts of a multinomial draw of four from four: E[n_a n_b] = 4 * 3 / 16
    assert first.mean() == pytest.approx(0.75, abs=0.1)
