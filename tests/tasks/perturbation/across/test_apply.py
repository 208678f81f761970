"""Counts after a change of expression."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from scmomer.tasks.perturbation.across import MAX_FOLD, apply_folds, fold_changes


def draw(n: int = 4000) -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    return sp.csr_matrix(rng.poisson([2.0, 0.5, 1.0, 0.0], (n, 4)), dtype=np.float32)


def test_folds_are_ratios_of_normalized_expression():
    before = np.log1p([1.0, 4.0, 0.0, 0.001])
    after = np.array([np.log1p(2.0), -0.3, 1.0, np.log1p(1.0)])
    np.testing.assert_allclose(fold_changes(before, after), [2, 0, 1, MAX_FOLD])


def test_totals_follow_the_folds():
    counts = draw()
    found = apply_folds(counts, np.array([0.25, 3.0, 1.0, 5.0]), np.random.default_rng(0))
    ratio = np.asarray(found.sum(0)).ravel()[:3] / np.asarray(counts.sum(0)).ravel()[:3]
    np.testing.assert_allclose(ratio, [0.25, 3, 1], rtol=0.03)
    assert found[:, 3].nnz == 0  # nothing to multiply
    np.testing.assert_array_equal(found[:, 2].toarray(), counts[:, 2].toarray())
    assert found.dtype == np.float32 and (found.data >= 1).all() and found.has_sorted_indices
    assert (found.data == np.floor(found.data)).all()


def test_fewer_counts_are_a_part_of_those_before():
    counts = draw(300)
    found = apply_folds(counts, np.array([0.5, 0.0, 1.0, 1.0]), np.random.default_rng(0))
    assert ((counts - found).toarray() >= 0).all() and found[:, 1].nnz == 0


def test_more_counts_also_go_to_cells_that_had_none():
    counts = draw(300)
    found = apply_folds(counts, np.array([1.0, 4.0, 1.0, 1.0]), np.random.default_rng(0))
    apart = (found - counts).toarray()
    assert (apart >= 0).all() and (apart[counts[:, 1].toarray().ravel() == 0, 1] > 0).any()


def test_no_change_leaves_counts_as_they_are():
    counts = draw(50)
    found = apply_folds(counts, np.ones(4), np.random.default_rng(0))
    assert (found != counts).nnz == 0
    assert apply_folds(counts[:0], np.full(4, 2.0), np.random.default_rng(0)).shape == (0, 4)
