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
    """Mean and standard deviation of each drug over the training lines, ``(n_drugs,)``."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> ResponseUnits:
        """Measure them; a drug that hardly varies counts as a tenth of the whole table."""
        least = 0.1 * np.nanstd(values) + 1e-6
        return cls(np.nanmean(values, 0), np.maximum(np.nanstd(values, 0), least))

    def standardize(self, values: np.ndarray) -> np.ndarray:
        """Return responses in standard deviations of each drug around its mean."""
        return (values - self.mean) / self.scale

    def restore(self, deviations: np.ndarray) -> np.ndarray:
        """Undo :meth:`standardize`."""
        return self.mean + self.scale * deviations
