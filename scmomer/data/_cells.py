"""Cells as arrays: what loaders, stages and inference read, whatever container it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
import torch

from scmomer.nn import CellBatch, narrow_rows, send


@dataclass
class Cells:
    """Counts of some cells in the model's feature order.

    A cell that lacks a modality has an empty row there and is false in its mask.
    """

    counts: dict[str, sp.csr_matrix]
    """Raw counts of each modality, ``(n_cells, n_features)``."""
    measured: dict[str, np.ndarray]
    """Which cells have the modality, ``(n_cells,)`` bool."""
    batch: np.ndarray | None = None
    """Batch code, ``(n_cells,)`` int64, -1 for a batch that is new to the model."""
    labels: np.ndarray | None = None
    """Label code, ``(n_cells,)`` int64."""
    embeddings: dict[str, torch.Tensor] = field(default_factory=dict)
    """Cached outputs of frozen encoders by modality, ``(n_cells, n_latent)``, on any device."""
    has_depth: bool = True
    """Whether RNA has library sizes; profiles that are not counts may have none."""

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return next(iter(self.counts.values())).shape[0]

    @property
    def paired(self) -> np.ndarray:
        """Which cells have every modality, ``(n_cells,)`` bool."""
        return self.has_all(*self.measured)

    @property
    def n_measured(self) -> np.ndarray:
        """How many modalities each cell has, ``(n_cells,)`` int."""
        return np.sum(list(self.measured.values()), axis=0)

    def has_all(self, *modalities: str) -> np.ndarray:
        """Return which cells have all of some modalities, ``(n_cells,)`` bool."""
        return np.logical_and.reduce([self.measured[m] for m in modalities])

    def patterns(self, cells: np.ndarray, modalities: Sequence[str]) -> np.ndarray:
        """Return a number for each of some cells; equal for those with the same modalities."""
        has = np.stack([self.measured[m][cells] for m in modalities], 1)  # (n, n_modalities)
        return has @ (1 << np.arange(len(modalities)))

    def select_modality(self, modality: str, counts: sp.csr_matrix | None = None) -> Cells:
        """Return the same cells with one modality, and with other `counts` of it if given.

        What encoders made of its own counts stays with them.
        """
        cached = self.embeddings if counts is None else {}
        known = {modality: cached[modality]} if modality in cached else {}
        counts = self.counts[modality] if counts is None else counts
        measured = {modality: self.measured[modality]}
        return Cells({modality: counts}, measured, embeddings=known, has_depth=self.has_depth)

    def lengths(self, modality: str) -> np.ndarray:
        """Stored counts of each cell, ``(n_cells,)``."""
        return np.diff(self.counts[modality].indptr)

    def minibatch(self, cells: Sequence[int] | np.ndarray, modalities: Sequence[str]) -> CellBatch:
        """Return some cells as tensors of the host; only the `modalities` asked for.

        Cached embeddings stay where they are, and indices are narrow (see :class:`SparseRows`).
        """
        index = torch.from_numpy(np.array(cells, np.int64))
        batch, labels = (
            None if codes is None else torch.from_numpy(codes)[index]
            for codes in (self.batch, self.labels)
        )
        cached = [(m, self.embeddings[m]) for m in modalities if m in self.embeddings]
        return CellBatch(
            {m: narrow_rows(self.counts[m][cells]) for m in modalities},
            {m: known[send(index, known.device)] for m, known in cached},
            batch,
            labels,
        )
