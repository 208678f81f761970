"""The translation metrics against sklearn, against naive loops, and by their properties."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics import roc_auc_score

from scmomer.metrics import (
    auroc_per_peak,
    depth_strata,
    peak_auroc,
    peak_auroc_within_depth,
    pseudobulk_pearson,
)

N_CELLS, N_PEAKS = 120, 40  # of the fixtures in conftest
FORMATS = {
    "dense": np.asarray,
    "csr_matrix": sparse.csr_matrix,
    "csc_array": sparse.csc_array,
    "coo_matrix": sparse.coo_matrix,
}
METRICS = {
    "plain": peak_auroc,
    "within_depth": peak_auroc_within_depth,
    "pseudobulk": lambda truth, score: pseudobulk_pearson(
        truth, score, np.arange(truth.shape[0]) % 3
    ),
}
auroc_metrics = pytest.mark.parametrize("metric", [peak_auroc, peak_auroc_within_depth])


def naive_within(
    truth: NDArray[np.float32], score: NDArray[np.float32], strata: NDArray[np.intp]
) -> float:
    """Compare every pair of cells of every peak, one by one."""
    values = []
    for y, x in zip(truth.T > 0, score.T, strict=True):
        pairs = [
            (x[i] > x[j]) + 0.5 * (x[i] == x[j])
            for i, j in product(np.flatnonzero(y), np.flatnonzero(~y))
            if strata[i] == strata[j]
        ]
        if y.sum() >= 10 and pairs:
            values.append(np.mean(pairs))
    return float(np.mean(values))


@pytest.mark.parametrize("truth_format", FORMATS)
@pytest.mark.parametrize("score_format", FORMATS)
def test_auroc_per_peak_is_that_of_sklearn(
    truth: NDArray, score: NDArray, truth_format: str, score_format: str
) -> None:
    opened = truth > 0
    judged = (opened.sum(0) >= 10) & ~opened.all(0)
    assert 0 < judged.sum() < N_PEAKS
    expected = [roc_auc_score(opened[:, j], score[:, j]) for j in np.flatnonzero(judged)]
    arguments = FORMATS[truth_format](truth), FORMATS[score_format](score)
    found = auroc_per_peak(*arguments)
    np.testing.assert_allclose(found[judged], expected, rtol=1e-12)
    assert np.isnan(found[~judged]).all()
    assert peak_auroc(*arguments) == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("n_strata", [1, 4, 10, N_CELLS])
def test_within_depth_is_that_of_a_loop_over_pairs(
    truth: NDArray, score: NDArray, n_strata: int
) -> None:
    depth = np.arange(N_CELLS)[::-1] // 2
    strata = depth_strata(depth, n_strata)
    if n_strata == N_CELLS:
        with pytest.raises(ValueError, match="use fewer strata"):
            peak_auroc_within_depth(truth, score, depth=depth, n_strata=n_strata)
        return
    found = peak_auroc_within_depth(truth, score, depth=depth, n_strata=n_strata)
    assert found == pytest.approx(naive_within(truth, score, strata), rel=1e-12)


@pytest.mark.parametrize("fmt", FORMATS)
def test_default_depth_is_the_number_of_open_peaks(
    truth: NDArray, score: NDArray, fmt: str
) -> None:
    expected = naive_within(truth, score, depth_strata((truth > 0).sum(1)))
    assert peak_auroc_within_depth(FORMATS[fmt](truth), score) == pytest.approx(expected)


def test_one_stratum_is_the_plain_auroc(truth: NDArray, score: NDArray) -> None:
    assert peak_auroc_within_depth(truth, score, n_strata=1) == peak_auroc(truth, score)


@auroc_metrics
def test_constant_score_is_one_half(truth: NDArray, metric: Callable[..., float]) -> None:
    constant = np.tile(truth.mean(0), (N_CELLS, 1))
    assert metric(truth, constant) == 0.5
    assert metric(truth, sparse.csr_array(truth.shape)) == 0.5


@auroc_metrics
def test_perfect_and_reversed_scores(truth: NDArray, metric: Callable[..., float]) -> None:
    assert metric(truth, truth) == 1.0
    assert metric(truth, -(truth > 0).astype(float)) == 0.0


@auroc_metrics
def test_only_the_order_of_scores_counts(
    truth: NDArray, score: NDArray, metric: Callable[..., float]
) -> None:
    expected = metric(truth, score)
    for same_order in (np.exp(score) * 1e-6, score.astype(np.int64), score.astype(np.float16)):
        assert metric(truth, same_order) == expected


def test_depth_as_score_helps_only_the_plain_auroc() -> None:
    rng = np.random.default_rng(0)
    rate = rng.lognormal(sigma=0.8, size=(2000, 1)) * rng.uniform(0.02, 0.3, 300)
    truth = sparse.csr_matrix(rng.poisson(rate))
    depth = np.asarray((truth > 0).sum(1)) * np.ones((1, 300))
    assert peak_auroc(truth, depth) > 0.65
    # Depth still varies inside a stratum, above all in the outermost two.
    assert peak_auroc_within_depth(truth, depth) == pytest.approx(0.5, abs=0.05)
    assert peak_auroc_within_depth(truth, depth, n_strata=200) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", ["plain", "pseudobulk"])
def test_order_of_cells_and_peaks_does_not_matter(
    truth: NDArray, score: NDArray, name: str
) -> None:
    rng = np.random.default_rng(0)
    # Cells move in blocks of three, which keeps the groups of the pseudobulk.
    cells = (3 * rng.permutation(N_CELLS // 3)[:, None] + np.arange(3)).ravel()
    moved = np.ix_(cells, rng.permutation(N_PEAKS))
    assert METRICS[name](truth[moved], score[moved]) == pytest.approx(METRICS[name](truth, score))


def test_order_does_not_matter_within_depth(truth: NDArray, score: NDArray) -> None:
    rng = np.random.default_rng(0)
    depth = rng.permutation(N_CELLS)  # without ties, which the order of cells breaks
    cells, peaks = rng.permutation(N_CELLS), rng.permutation(N_PEAKS)
    moved = np.ix_(cells, peaks)
    found = peak_auroc_within_depth(truth[moved], score[moved], depth=depth[cells])
    assert found == pytest.approx(peak_auroc_within_depth(truth, score, depth=depth), rel=1e-12)


@auroc_metrics
@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_chunk_size_does_not_matter(
    truth: NDArray, score: NDArray, metric: Callable[..., float], chunk_size: int
) -> None:
    assert metric(truth, score, chunk_size=chunk_size) == metric(truth, score)


def test_inputs_stay_as_they_are(truth: NDArray, score: NDArray) -> None:
    before = truth.copy(), score.copy()
    for metric in METRICS.values():
        metric(truth, score)
    np.testing.assert_array_equal(truth, before[0])
    np.testing.assert_array_equal(score, before[1])


def test_strata_are_equal_in_size_and_ordered_by_depth() -> None:
    assert depth_strata([5, 1, 3, 3, 3, 9], 3).tolist() == [2, 0, 0, 1, 1, 2]
    strata = depth_strata(np.random.default_rng(0).poisson(3, 103))
    assert set(np.bincount(strata)) == {10, 11}


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("centered", [True, False])
def test_pseudobulk_is_that_of_numpy(
    truth: NDArray, score: NDArray, fmt: str, centered: bool
) -> None:
    groups = np.array(["a", "b", "c", "b"] * (N_CELLS // 4), dtype=object)
    groups[:5] = [np.nan, None, "a", "a", np.nan]
    named = np.isin(groups, ["a", "b", "c"])
    expected = []
    for group in "abc":
        mine = [matrix[groups == group].mean(0, dtype=float) for matrix in (truth, score)]
        rest = [matrix[named].mean(0, dtype=float) * centered for matrix in (truth, score)]
        expected.append(np.corrcoef(mine[0] - rest[0], mine[1] - rest[1])[0, 1])
    found = pseudobulk_pearson(FORMATS[fmt](truth), FORMATS[fmt](score), groups, centered=centered)
    assert found == pytest.approx(np.mean(expected), rel=1e-6)


def test_pseudobulk_of_itself_and_of_the_mean(truth: NDArray) -> None:
    groups = np.arange(N_CELLS) % 3
    mean = np.tile(truth.mean(0), (N_CELLS, 1))
    assert pseudobulk_pearson(truth, 3 * truth + 1, groups) == pytest.approx(1)
    assert pseudobulk_pearson(truth, mean, groups) == 0  # only rounding errors remain
    assert pseudobulk_pearson(truth, mean, groups, centered=False) > 0.9
    assert pseudobulk_pearson(truth, np.zeros_like(truth), groups, centered=False) == 0
    with pytest.warns(FutureWarning, match="centred= is now called centered="):
        assert pseudobulk_pearson(truth, mean, groups, centred=False) > 0.9  # type: ignore[call-arg]


@pytest.mark.parametrize("name", METRICS)
def test_shapes_and_values_are_checked(truth: NDArray, score: NDArray, name: str) -> None:
    metric = METRICS[name]
    with pytest.raises(ValueError, match=r"\(120, 40\).*found \(120, 39\)"):
        metric(truth, score[:, 1:])
    with pytest.raises(ValueError, match="`truth` to be a non-empty matrix"):
        metric(truth[0], score[0])
    for bad in (np.nan, np.inf, -np.inf):
        score[3, 4] = bad
        for matrix in (score, sparse.csr_matrix(score)):
            with pytest.raises(ValueError, match="`score` to be finite"):
                metric(truth, matrix)


@auroc_metrics
def test_no_peak_to_score(truth: NDArray, score: NDArray, metric: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match=r"at least 121 open cells.* up to 120 of 120 cells"):
        metric(truth, score, min_positives=N_CELLS + 1)
    with pytest.raises(ValueError, match="at least one closed cell"):
        metric(np.ones_like(truth), score)
    with pytest.raises(ValueError, match="up to 0 of 120 cells"):
        metric(np.zeros_like(truth), score, min_positives=0)


def test_depth_and_groups_are_checked(truth: NDArray, score: NDArray) -> None:
    with pytest.raises(ValueError, match=r"`depth` .* shape \(120,\), found \(119,\)"):
        peak_auroc_within_depth(truth, score, depth=np.ones(N_CELLS - 1))
    with pytest.raises(ValueError, match=r"`depth` .* 120 values that are not finite"):
        peak_auroc_within_depth(truth, score, depth=np.full(N_CELLS, np.nan))
    with pytest.raises(ValueError, match="`n_strata` to be at least 1, found 0"):
        peak_auroc_within_depth(truth, score, n_strata=0)
    with pytest.raises(ValueError, match=r"`strata` .* found \(3,\)"):
        auroc_per_peak(truth, score, strata=[0, 1, 2])
    with pytest.raises(ValueError, match=r"`groups` .* found \(2,\)"):
        pseudobulk_pearson(truth, score, ["a", "b"])
    with pytest.raises(ValueError, match="found NaN for all 120"):
        pseudobulk_pearson(truth, score, np.full(N_CELLS, np.nan))
