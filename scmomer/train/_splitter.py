"""Train and validation cells of a stage."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
from scvi import settings
from scvi.dataloaders._data_splitting import validate_data_split
from torch.utils.data import DataLoader

from scmomer.train._cells import Cells
from scmomer.train._loader import cell_loader


def split_cells(
    n_cells: int,
    train_size: float | None,
    validation_size: float | None,
    batch_size: int,
    shuffle: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return train, validation and test cells, drawn as scvi-tools' ``DataSplitter`` does.

    The draw depends on :attr:`scvi.settings.seed` alone, so all stages share one split.
    """
    share = 0.9 if train_size is None else float(train_size)
    n_train, n_val = validate_data_split(
        n_cells, share, validation_size, batch_size, False, train_size is None
    )
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
