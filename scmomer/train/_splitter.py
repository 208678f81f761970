"""Train and validation cells of a stage."""

from __future__ import annotations

import math

import lightning.pytorch as pl
import numpy as np
from scvi import settings
from torch.utils.data import DataLoader

from scmomer.train._cells import Cells
from scmomer.train._loader import cell_loader


def split_cells(
    n_cells: int,
    train_size: float | None = None,
    validation_size: float | None = None,
    shuffle: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return train, validation and test cells, in sizes as scvi-tools' ``DataSplitter``.

    The draw depends on :attr:`scvi.settings.seed` alone, so all stages share one split.

    Parameters
    ----------
    n_cells
        Cells to split.
    train_size
        Share to train on, above 0 and at most 1; None for 0.95.
    validation_size
        Share for validation; None for all others.
    shuffle
        Draw at random; otherwise validation cells are the first ones.

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
        msg = "Expected cells to split into training and validation, found none."
        raise ValueError(msg)
    n_train = math.ceil(round(share * n_cells, 6))
    n_val = n_cells - n_train if validation_size is None else math.floor(rest * n_cells)
    order = np.arange(n_cells)
    if shuffle:
        order = np.random.RandomState(settings.seed).permutation(order)
    return order[n_val : n_val + n_train], order[:n_val], order[n_val + n_train :]


class SparseDataSplitter(pl.LightningDataModule):
    """Sparse loaders over a fixed split, as scvi-tools' ``TrainRunner`` expects them.

    Parameters
    ----------
    cells
        All registered cells.
    split
        Train, validation and test indices.
    modalities
        What a minibatch holds.
    batch_size
        Cells in a minibatch.
    """

    def __init__(
        self,
        cells: Cells,
        split: tuple[np.ndarray, np.ndarray, np.ndarray],
        *,
        modalities: tuple[str, ...],
        batch_size: int,
    ):
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
