"""Average precision of peaks: against sklearn, and by its properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from scmomer.metrics import auroc_per_peak, average_precision_per_peak, peak_average_precision


def test_is_that_of_sklearn(truth: NDArray, score: NDArray, to_format: Callable) -> None:
    opened = truth > 0
    judged = (opened.sum(0) >= 10) & ~opened.all(0)
    assert 0 < judged.sum() < judged.size
    expected = [average_precision_score(opened[:, j], score[:, j]) for j in np.flatnonzero(judged)]
    found = average_precision_per_peak(to_format(truth), to_format(score))
    np.testing.assert_allclose(found[judged], expected, rtol=1e-12)
    assert np.isnan(found[~judged]).all()
    mean = peak_average_precision(to_format(truth), score)
    assert mean == pytest.approx(np.mean(expected), rel=1e-12)


def test_scores_without_ties_and_below_zero(truth: NDArray) -> None:
    score = np.random.default_rng(2).normal(size=truth.shape)
    found = average_precision_per_peak(truth, score, min_positives=1)
    for j in np.flatnonzero(~np.isnan(found)):
        assert found[j] == pytest.approx(average_precision_score(truth[:, j] > 0, score[:, j]))


@pytest.mark.parametrize("min_positives", [0, 1, 30])
def test_judges_the_peaks_that_auroc_judges(
    truth: NDArray, score: NDArray, min_positives: int
) -> None:
    auroc = auroc_per_peak(truth, score, min_positives=min_positives)
    found = average_precision_per_peak(truth, score, min_positives=min_positives)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(auroc))


def test_constant_score_is_the_share_of_open_cells(truth: NDArray) -> None:
    found = average_precision_per_peak(truth, np.tile(truth.mean(0), (truth.shape[0], 1)))
    judged = ~np.isnan(found)
    np.testing.assert_allclose(found[judged], (truth > 0).mean(0)[judged])


def test_perfect_score_is_one(truth: NDArray) -> None:
    assert peak_average_precision(truth, truth) == 1


@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_chunk_size_does_not_matter(truth: NDArray, score: NDArray, chunk_size: int) -> None:
    found = average_precision_per_peak(truth, score, chunk_size=chunk_size)
    np.testing.assert_array_equal(found, average_precision_per_peak(truth, score))


def test_arguments_are_checked(truth: NDArray, score: NDArray) -> None:
    with pytest.raises(ValueError, match=r"\(120, 40\).*found \(120, 39\)"):
        peak_average_precision(truth, score[:, 1:])
    with pytest.raises(ValueError, match=r"at least 121 open cells.* up to 120 of 120 cells"):
        peak_average_precision(truth, score, min_positives=121)
    with pytest.raises(ValueError, match="up to 0 of 120 cells"):
        peak_average_precision(np.zeros_like(truth), score, min_positives=0)
    with pytest.raises(ValueError, match="`chunk_size` to be at least 1, found 0"):
        peak_average_precision(truth, score, chunk_size=0)
    score[0, 0] = np.nan
    with pytest.raises(ValueError, match="`score` to be finite"):
        peak_average_precision(truth, score)
