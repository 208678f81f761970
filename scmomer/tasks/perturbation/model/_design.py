"""Which parts each training perturbation has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scmomer.tasks.perturbation.graph._knowledge import Knowledge, PartFeatures

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Design:
    """Perturbations as sums of parts."""

    parts: tuple[Parts, ...]
    names: tuple[str, ...]
    """All parts, in alphabetical order, ``(n_parts,)``"""
    incidence: np.ndarray
    """1 for parts of a perturbation, ``(n_rows, n_parts)``"""
    features: PartFeatures

    @classmethod
    def of(cls, parts: Sequence[Parts], knowledge: Knowledge) -> Design:
        """Return the design of some perturbations."""
        names = tuple(sorted({part for row in parts for part in row}))
        column = {name: i for i, name in enumerate(names)}
        incidence = np.zeros((len(parts), len(names)))
        for i, row in enumerate(parts):
            incidence[i, [column[part] for part in row]] = 1.0
        return cls(tuple(parts), names, incidence, knowledge.features(names))

    @property
    def single(self) -> np.ndarray:
        """Whether a perturbation has one part, bool ``(n_rows,)``."""
        return self.incidence.sum(axis=1) == 1

    def shares(self, row: int) -> np.ndarray:
        """Whether perturbations share a part with one of them, bool ``(n_rows,)``."""
        return self.incidence @ self.incidence[row] > 0
