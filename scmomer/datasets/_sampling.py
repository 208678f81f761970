"""Sparse counts from a mixture of programs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import scipy.sparse as sp

BASELINE_SD = 0.7  # of the log abundance of features
DEPTH_SD = 0.3  # of the log depth of cells
CHUNK = 4_000_000  # draws in memory, about 100 MB


def profiles(rng: np.random.Generator, fold_change: np.ndarray) -> np.ndarray:
    """Return the probabilities of features in each program, ``(n_programs, n_features)``.

    ``fold_change`` has the same shape; each feature also has a log-normal abundance.
    """
    abundance = fold_change * rng.lognormal(sigma=BASELINE_SD, size=fold_change.shape[1])
    return abundance / abundance.sum(axis=1, keepdims=True)


def sample_counts(
    rng: np.random.Generator,
    shares: np.ndarray,
    profiles: np.ndarray,
    batch: np.ndarray,
    depth: float,
    batch_effect: float,
) -> sp.csr_matrix:
    """Return multinomial counts, csr float32 ``(n_cells, n_features)``.

    Each count is drawn separately: first its program from the cell's shares, then its feature from
    the program. The cost depends on the depth, not on the number of features.

    Parameters
    ----------
    rng
        Random number generator.
    shares
        Share of each program in each cell ``(n_cells, n_programs)``, rows sum to 1.
    profiles
        Probabilities of the features ``(n_programs, n_features)``, rows sum to 1.
    batch
        Batch of each cell, int ``(n_cells,)``, from 0.
    depth
        Expected counts of a cell.
    batch_effect
        Standard deviation of a feature's log fold change in a batch.
    """
    n_cells, n_features = len(shares), profiles.shape[1]
    factors = rng.lognormal(sigma=batch_effect, size=(batch.max() + 1, n_features))
    size_factor = rng.lognormal(-(DEPTH_SD**2) / 2, DEPTH_SD, size=n_cells)  # mean 1
    totals = np.maximum(rng.poisson(depth * size_factor), 1)
    per_program = rng.multinomial(totals, shares)  # (n_cells, n_programs)
    blocks = [
        _draw(rng, per_program[cells], profiles, batch[cells], factors) for cells in _chunks(totals)
    ]
    return sp.vstack(blocks, format="csr")


def _chunks(totals: np.ndarray) -> Iterator[slice]:
    """Yield slices of cells with about ``CHUNK`` draws, and at least one cell."""
    before = np.cumsum(totals) - totals
    starts = np.flatnonzero(np.diff(before // CHUNK, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(totals)], strict=True):
        yield slice(start, stop)


def _draw(
    rng: np.random.Generator,
    per_program: np.ndarray,
    profiles: np.ndarray,
    batch: np.ndarray,
    factors: np.ndarray,
) -> sp.csr_matrix:
    """Return the counts of a chunk of cells, given its draws ``(n_cells, n_programs)``."""
    rows, columns = [], []
    for b, k in product(np.unique(batch), range(len(profiles))):
        cells = np.flatnonzero(batch == b)
        row = np.repeat(cells, per_program[cells, k])
        odds = profiles[k] * factors[b]
        rows.append(row.astype(np.int32))
        columns.append(rng.choice(len(odds), size=len(row), p=odds / odds.sum()).astype(np.int32))
    row, column = np.concatenate(rows), np.concatenate(columns)
    shape = (len(per_program), profiles.shape[1])
    counts = sp.coo_matrix((np.ones(len(row), np.float32), (row, column)), shape=shape)
    return counts.tocsr()  # adds up repeated draws, sorts the indices
