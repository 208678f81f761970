"""Train and validation cells of a stage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
from scvi import settings
from torch.utils.data import DataLoader

from scmomer.data._cells import Cells
from scmomer.data._loader import cell_loader

Split = tuple[np.ndarray, np.ndarray, np.ndarray]


def split_cells(
    n_cells: int,
    train_size: float | None = None,
    validation_size: float | None = None,
    shuffle: bool = True,
    seed: int | None = None,
) -> Split:
    """Return train, validation and test cells, in the sizes of scvi-tools' ``DataSplitter``.

    The split depends on the seed alone, so all stages share it.

    Parameters
    ----------
    n_cells
        Cells to split.
    train_size
        Share to train on, above 0 and at most 1; None for 0.95.
    validation_size
        Share for validation; None for all remaining cells.
    shuffle
        Draw at random; otherwise the first cells are for validation.
    seed
        Seed; None for :attr:`scvi.settings.seed`.

    Raises
    ------
    ValueError
        If shares are out of range or sum to more than 1, or there is no cell.
    """
    share = 0.95 if train_size is None else float(train_size)
    rest = 1 - share if validation_size is None else float(validation_size)
    if not 0 < share <= 1 or not 0 <= rest < 1 or share + rest > 1 + 1e-9:
        msg = (
            "Expected 0 < train_size <= 1, 0 <= validation_size < 1 and a sum of at most 1, "
            f"found train_size={train_size} and validation_size={validation_size}."
        )
        raise ValueError(msg)
    if n_cells < 1:
        msg = "There are no cells to split into training and validation. Pass data with cells."
        raise ValueError(msg)
    n_train = math.ceil(round(share * n_cells, 6))
    n_val = n_cells - n_train if validation_size is None else math.floor(rest * n_cells)
    order = np.arange(n_cells)
    if shuffle:
        order = np.random.RandomState(settings.seed if seed is None else seed).permutation(order)
    return order[n_val : n_val + n_train], order[:n_val], order[n_val + n_train :]


@dataclass(frozen=True)
class SplitRecord:
    """Arguments of :func:`split_cells` with a fixed seed, to repeat a split in another process."""

    seed: int
    train_size: float | None = None
    validation_size: float | None = None
    shuffle: bool = True

    @classmethod
    def new(
        cls,
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle: bool = True,
    ) -> SplitRecord:
        """Return a record with :attr:`scvi.settings.seed`, or a random seed if that is None."""
        seed = settings.seed
        if seed is None:
            seed = np.random.SeedSequence().generate_state(1)[0]
        return cls(
            int(seed),
            None if train_size is None else float(train_size),
            None if validation_size is None else float(validation_size),
            bool(shuffle),
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SplitRecord:
        """Read the result of :func:`dataclasses.asdict`.

        Raises
        ------
        ValueError
            If a value is out of range.
        """
        record = cls(**values)
        if not isinstance(record.seed, int) or not 0 <= record.seed < 2**32:
            msg = f"Expected a seed from 0 to 2**32 - 1, found {record.seed!r}."
            raise ValueError(msg)
        record.draw(1)  # raises if shares are out of range
        return record

    def draw(self, n_cells: int) -> Split:
        """Return train, validation and test cells out of `n_cells`."""
        return split_cells(n_cells, self.train_size, self.validation_size, self.shuffle, self.seed)


class SparseDataSplitter(pl.LightningDataModule):
    """Sparse loaders over a fixed split, as scvi-tools' ``TrainRunner`` expects them.

    Parameters
    ----------
    cells
        All registered cells.
    split
        Train, validation and test indices.
    modalities
        Modalities of a minibatch.
    batch_size
        Cells per minibatch.
    """

    def __init__(self, cells: Cells, split: Split, *, modalities: tuple[str, ...], batch_size: int):
        super().__init__()
        self.cells, self.modalities, self.batch_size = cells, modalities, batch_size
        self.train_idx, self.val_idx, self.test_idx = split
        self.n_train, self.n_val = len(self.train_idx), len(self.val_idx)

    def _loader(self, indices: np.ndarray, shuffle: bool) -> DataLoader:
        return cell_loader(
            self.cells,
            indices,
            modalities=self.modalities,
            batch_size=self.batch_size,
            shuffle=shuffle,
        )

    def train_dataloader(self) -> DataLoader:
        """Shuffled batches of the training cells."""
        return self._loader(self.train_idx, shuffle=True)

    def val_dataloader(self) -> DataLoader | list:
        """Batches of the validation cells, the same in every epoch."""
        return self._loader(self.val_idx, shuffle=False) if self.n_val else []
