"""Pseudobulk changes by perturbations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Effects:
    """Pseudobulk changes: one row for each perturbation (and group)."""

    table: pd.DataFrame
    """Columns ``perturbation`` (parts in alphabetical order, ``"A+B"``; never the control),
    ``group`` (``""`` without groups), ``n_cells``, ``n_control``; index 0, 1, ..."""
    parts: tuple[tuple[str, ...], ...]
    """Perturbed genes, or other names, of each row."""
    perturbed: np.ndarray
    """Mean ``log1p`` expression of perturbed cells, ``(n_rows, n_genes)``."""
    control: np.ndarray
    """Mean of the matched control cells, ``(n_rows, n_genes)``. With batches, the means of control
    cells of each batch are averaged with the shares of the perturbed cells."""
    variance: np.ndarray
    """Squared standard error of the change, ``(n_rows, n_genes)``."""
    genes: pd.Index
    """Names of genes."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.parts)

    @property
    def change(self) -> np.ndarray:
        """Perturbed minus control, ``(n_rows, n_genes)``."""
        return self.perturbed - self.control

    @property
    def groups(self) -> tuple[str, ...]:
        """Group of each row, ``""`` without groups."""
        return tuple(self.table["group"])

    def rows(self, keep: Sequence[int] | np.ndarray) -> Effects:
        """Return some rows, by position or as a mask ``(n_rows,)``."""
        keep = np.asarray(keep)
        chosen = np.flatnonzero(keep) if keep.dtype == bool else keep.astype(np.int64)
        return replace(
            self,
            table=self.table.iloc[chosen].reset_index(drop=True),
            parts=tuple(self.parts[i] for i in chosen),
            perturbed=self.perturbed[chosen],
            control=self.control[chosen],
            variance=self.variance[chosen],
        )
