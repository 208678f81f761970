"""Predictions for lines x drugs, with their standard deviations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Predicted:
    """A prediction for lines x drugs, each ``(n_lines, n_drugs)``."""

    mean: np.ndarray
    std: np.ndarray
    naive: np.ndarray
    """Without networks."""

    @classmethod
    def empty(cls, n_lines: int, n_drugs: int) -> Predicted:
        """Return a prediction to fill."""
        return cls(*(np.full((n_lines, n_drugs), np.nan) for _ in range(3)))

    def take(self, columns: np.ndarray) -> Predicted:
        """Return some drugs."""
        return Predicted(self.mean[:, columns], self.std[:, columns], self.naive[:, columns])

    def put(
        self,
        other: Predicted,
        rows: np.ndarray | slice = slice(None),
        columns: np.ndarray | slice = slice(None),
    ) -> None:
        """Fill in a part."""
        for mine, theirs in zip(self._arrays(), other._arrays(), strict=True):
            mine[rows, columns] = theirs

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.mean, self.std, self.naive
