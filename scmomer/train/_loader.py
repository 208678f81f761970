"""Loaders of sparse minibatches in which cells of similar size share a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from scmomer.module import CellBatch
from scmomer.train._cells import Cells

_POOL = 8  # batches that are sorted by size together; more: less padding, less randomness


class _CellDataset(Dataset):
    def __init__(
        self, cells: Cells, indices: np.ndarray, modalities: Sequence[str], with_position: bool
    ):
        self.cells, self.indices, self.modalities = cells, indices, modalities
        self.with_position = with_position

    def __getitem__(self, position: np.ndarray) -> CellBatch | tuple[np.ndarray, CellBatch]:
        tensors = self.cells.minibatch(self.indices[position], self.modalities)
        return (position, tensors) if self.with_position else tensors


class BucketSampler(Sampler):
    """Yields arrays of positions; cells in a batch have about the same number of tokens.

    Parameters
    ----------
    lengths
        Tokens of each cell, shape ``(n_cells,)``.
    batch_size
        Cells in a batch; the last batch may be smaller.
    shuffle
        Draw a new random order each epoch (from torch's global generator). Otherwise batches
        are formed from the globally sorted cells, in order.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, shuffle: bool) -> None:
        self.lengths, self.batch_size, self.shuffle = lengths, batch_size, shuffle

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        n, size = len(self.lengths), self.batch_size
        order = torch.randperm(n).numpy() if self.shuffle else np.arange(n)
        pool = size * _POOL if self.shuffle else max(n, 1)
        batches: list[np.ndarray] = []
        for start in range(0, n, pool):
            part = order[start : start + pool]
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

    With `with_position` it yields ``(positions in indices, minibatch)``.
    """
    indices = np.asarray(indices)
    lengths = cells.lengths(modalities[0])[indices]
    if f"z_{modalities[0]}" in cells.embeddings:
        # No encoder reads these cells, so nothing is padded: batches may be as random as can be.
        lengths = np.zeros_like(lengths)
    return DataLoader(
        _CellDataset(cells, indices, modalities, with_position),
        sampler=BucketSampler(lengths, batch_size, shuffle),
        batch_size=None,
        collate_fn=_as_it_is,
    )


def _as_it_is(item: Any) -> Any:
    """Keep torch from converting what is a minibatch already."""
    return item
