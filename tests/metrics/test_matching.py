"""Fraction of samples closer than the true match: against a loop, and by its properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from scmomer.metrics import foscttm

N_CELLS = 50


@pytest.fixture
def pair() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two embeddings on a grid, ``(N_CELLS, 3)``: many distances tie."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 4, (N_CELLS, 3))
    return first.astype(float), (first + rng.integers(-1, 2, first.shape)).astype(float)


def naive(first: NDArray, second: NDArray) -> float:
    """Compare every cell with every other, one by one."""
    values = []
    for x, y in ((first, second), (second, first)):
        for i in range(len(x)):
            distance = np.square(x[i] - y).sum(1)
            others = np.delete(distance, i)
            values.append(np.mean((others < distance[i]) + 0.5 * (others == distance[i])))
    return float(np.mean(values))


def test_is_that_of_a_loop(pair: tuple[NDArray, NDArray], to_format: Callable) -> None:
    found = foscttm(*(to_format(matrix) for matrix in pair))
    assert found == pytest.approx(naive(*pair), rel=1e-12)
    assert 0.05 < found < 0.4


def test_directions_are_averaged(pair: tuple[NDArray, NDArray]) -> None:
    first, second = pair
    assert foscttm(second, first) == pytest.approx(foscttm(first, second), rel=1e-12)


@pytest.mark.parametrize("offset", [0, 1e4])
def test_each_closest_to_itself_is_zero(offset: float) -> None:
    embedding = np.random.default_rng(0).normal(size=(N_CELLS, 8)) + offset
    assert foscttm(embedding, embedding) == 0
    assert foscttm(embedding, embedding.astype(np.float32)) == 0


def test_uninformative_embeddings_are_one_half() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 500, 8))
    assert foscttm(first, second) == pytest.approx(0.5, abs=0.03)
    constant = np.full((N_CELLS, 3), 0.1)
    assert foscttm(constant, constant + 1.7) == 0.5


def test_opposite_is_one() -> None:
    embedding = np.array([[-1.0], [1.0]])
    assert foscttm(embedding, -embedding) == 1


@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_chunk_size_does_not_matter(pair: tuple[NDArray, NDArray], chunk_size: int) -> None:
    assert foscttm(*pair, chunk_size=chunk_size) == foscttm(*pair)


def test_arguments_are_checked(pair: tuple[NDArray, NDArray]) -> None:
    first, second = pair
    with pytest.raises(ValueError, match=r"`second` .* shape of `first`.*found \(50, 2\)"):
        foscttm(first, second[:, 1:])
    with pytest.raises(ValueError, match="at least two cells, found 1"):
        foscttm(first[:1], second[:1])
    with pytest.raises(ValueError, match="`chunk_size` to be at least 1, found 0"):
        foscttm(first, second, chunk_size=0)
    second[0, 0] = np.nan
    with pytest.raises(ValueError, match="`second` to be finite"):
        foscttm(first, second)
