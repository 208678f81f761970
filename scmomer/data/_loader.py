"""Loaders of sparse minibatches in which cells of similar size share a batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from scmomer.data._cells import Cells
from scmomer.nn import CellBatch

_POOL = 8  # batches that are sorted by size together; more: less padding, less randomness
_AHEAD = 3  # minibatches that are prepared while a GPU computes


class _CellDataset(Dataset):
    def __init__(
        self, cells: Cells, indices: np.ndarray, modalities: Sequence[str], with_position: bool
    ):
        self.cells, self.indices, self.modalities = cells, indices, modalities
        self.with_position = with_position

    def __getitem__(self, position: np.ndarray) -> CellBatch | tuple[np.ndarray, CellBatch]:
        cells = self.indices[position]
        there = [m for m in self.modalities if self.cells.measured[m][cells].all()]
        tensors = self.cells.minibatch(cells, there or self.modalities)
        if _feeds_gpu():
            tensors = tensors.pin_memory()
        return (position, tensors) if self.with_position else tensors


class _CellLoader(DataLoader):
    """Prepares minibatches in a thread while a GPU computes; the host alone gains nothing by it."""

    def __iter__(self) -> Any:
        batches = super().__iter__()  # draws the order: always here, in the thread of the caller
        return prefetched(batches) if _feeds_gpu() else batches


def _feeds_gpu() -> bool:
    return torch.cuda.is_initialized()


def prefetched(items: Iterator[Any]) -> Iterator[Any]:
    """Yield the same items, taken from `items` by a thread that is a few ahead; none is None."""
    with ThreadPoolExecutor(1, "scmomer-loader") as thread:
        ahead = deque(thread.submit(next, items, None) for _ in range(_AHEAD))
        while (item := ahead.popleft().result()) is not None:
            ahead.append(thread.submit(next, items, None))
            yield item


class BucketSampler(Sampler):
    """Yields arrays of positions; cells in a batch have the same modalities and similar lengths.

    Parameters
    ----------
    lengths
        Tokens of each cell, shape ``(n_cells,)``.
    batch_size
        Cells in a batch; the last batch of each pattern may be smaller.
    shuffle
        Draw a new random order each epoch (from torch's global generator). Otherwise batches
        are formed from the globally sorted cells, in order.
    patterns
        A number for the modalities of each cell, shape ``(n_cells,)``: cells of a batch share it.
        None: all have the same.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        shuffle: bool,
        patterns: np.ndarray | None = None,
    ) -> None:
        patterns = np.zeros(len(lengths), int) if patterns is None else patterns
        self.lengths, self.patterns = lengths, patterns
        self.batch_size, self.shuffle = batch_size, shuffle
        self._kinds, n_cells = np.unique(patterns, return_counts=True)
        self._n_batches = int((-(-n_cells // batch_size)).sum())

    def __len__(self) -> int:
        return self._n_batches

    def __iter__(self) -> Iterator[np.ndarray]:
        n, size = len(self.lengths), self.batch_size
        order = torch.randperm(n).numpy() if self.shuffle else np.arange(n)
        pool = size * _POOL if self.shuffle else max(n, 1)
        batches: list[np.ndarray] = []
        for kind in self._kinds:
            alike = order[self.patterns[order] == kind]
            for start in range(0, len(alike), pool):
                part = alike[start : start + pool]
                part = part[np.argsort(self.lengths[part], kind="stable")]
                batches += [part[i : i + size] for i in range(0, len(part), size)]
        if self.shuffle:
            batches = [batches[i] for i in torch.randperm(len(batches)).tolist()]
        return iter(batches)


def cell_loader(
    cells: Cells,
    indices: np.ndarray,
    *,
    modalities: Sequence[str],
    batch_size: int,
    shuffle: bool = False,
    with_position: bool = False,
) -> DataLoader:
    """Return a loader of minibatches of some cells (see :class:`BucketSampler`).

    A minibatch holds those of the `modalities` that its cells have.

    With `with_position` it yields ``(positions in indices, minibatch)``.
    """
    indices = np.asarray(indices)
    lengths = cells.lengths(modalities[0])[indices]
    if modalities[0] in cells.embeddings:
        # No encoder reads these cells, so nothing is padded: batches may be as random as can be.
        lengths = np.zeros_like(lengths)
    return _CellLoader(
        _CellDataset(cells, indices, modalities, with_position),
        sampler=BucketSampler(lengths, batch_size, shuffle, cells.patterns(indices, modalities)),
        batch_size=None,
        collate_fn=_identity_collate,
    )


def _identity_collate(item: Any) -> Any:
    """Keep torch from converting a minibatch."""
    return item
