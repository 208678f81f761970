"""What fitting a model of response depends on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from scmomer.tasks.drugs._branches import Pooling


@dataclass(frozen=True)
class ResponseSettings:
    """Choices of the user."""

    n_members: int = 5
    """Folds of the training data, and networks."""
    pooling: Pooling = "max"
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass(frozen=True)
class ResponseUnits:
    """Mean and standard deviation of each drug over the training lines, ``(n_drugs,)``.

    Of a drug without responses, those of the whole table.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> ResponseUnits:
        """Measure them; a drug that hardly varies counts as a tenth of the whole table."""
        measured = np.isfinite(values)
        known, n = np.where(measured, values, 0.0), measured.sum(0)
        overall = float(np.nanstd(values))
        mean = np.where(n > 0, known.sum(0) / np.maximum(n, 1), np.nanmean(values))
        squares = np.where(measured, known - mean, 0.0) ** 2
        scale = np.where(n > 0, np.sqrt(squares.sum(0) / np.maximum(n, 1)), overall)
        return cls(mean, np.maximum(scale, 0.1 * overall + 1e-6))

    def standardize(self, values: np.ndarray) -> np.ndarray:
        """Return responses in standard deviations of each drug around its mean."""
        return (values - self.mean) / self.scale

    def restore(self, deviations: np.ndarray) -> np.ndarray:
        """Undo :meth:`standardize`."""
        return self.mean + self.scale * deviations
