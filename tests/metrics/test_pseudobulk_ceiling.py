"""The largest correlation that the noise of measured profiles allows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from scmomer.metrics import pseudobulk_ceiling, pseudobulk_pearson

SIZES = (200, 60, 30, 8)


@pytest.fixture
def groups() -> NDArray[np.intp]:
    """Groups of four sizes, in random order."""
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(SIZES)), SIZES))


@pytest.fixture
def rates(groups: NDArray[np.intp]) -> NDArray[np.float64]:
    """Noise-free profile of each cell's group, ``(n_cells, 2000)``."""
    return np.random.default_rng(1).gamma(0.5, 0.1, (len(SIZES), 2000))[groups]


def test_it_is_what_the_truth_without_noise_reaches(rates: NDArray, groups: NDArray) -> None:
    counts = np.random.default_rng(2).poisson(rates).astype(float)
    reached = pseudobulk_pearson(counts, rates, groups)
    assert 0.5 < reached < 0.95
    assert pseudobulk_ceiling(counts, groups) == pytest.approx(reached, abs=0.02)


def test_noise_has_no_ceiling_and_no_noise_has_the_highest(rates: NDArray, groups: NDArray) -> None:
    noise = np.random.default_rng(3).random((len(groups), 2000))
    assert pseudobulk_ceiling(noise, groups) < 0.15
    assert pseudobulk_ceiling(rates, groups) == pytest.approx(1)


@pytest.mark.parametrize("fmt", [sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix])
def test_sparse_is_dense(rates: NDArray, groups: NDArray, fmt) -> None:
    counts = np.random.default_rng(2).poisson(rates).astype(float)
    found = pseudobulk_ceiling(fmt(counts), groups)
    assert found == pytest.approx(pseudobulk_ceiling(counts, groups), abs=1e-9)


def test_cells_alone_are_left_out(rates: NDArray, groups: NDArray) -> None:
    names = groups.astype(object)
    more = np.vstack([rates, np.ones((2, 2000))])
    expected = pseudobulk_ceiling(rates, names)
    assert pseudobulk_ceiling(more, np.append(names, ["alone", None])) == pytest.approx(expected)


def test_a_seed_repeats(rates: NDArray, groups: NDArray) -> None:
    counts = np.random.default_rng(2).poisson(rates).astype(float)
    first = pseudobulk_ceiling(counts, groups, random_state=1)
    assert first == pseudobulk_ceiling(counts, groups, random_state=1)
    assert first != pseudobulk_ceiling(counts, groups, random_state=2)


def test_what_cannot_be_split_is_refused(rates: NDArray, groups: NDArray) -> None:
    with pytest.raises(ValueError, match="two cells"):
        pseudobulk_ceiling(rates, np.arange(len(rates)))
    with pytest.raises(ValueError, match="n_splits of at least 1, found 0"):
        pseudobulk_ceiling(rates, groups, n_splits=0)
