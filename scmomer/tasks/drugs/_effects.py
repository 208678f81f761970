"""Responses as mean effects of drugs and cell lines, and what is left of low rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

_SWEEPS: Final = 100
_TOLERANCE: Final = 1e-3  # of a response, in the units of the table


@dataclass(frozen=True)
class MeanEffects:
    """``mean + drug + line``, fitted by least squares."""

    mean: float
    drug: np.ndarray
    """``(n_drugs,)``; 0 for drugs that were not measured."""
    line: np.ndarray
    """``(n_lines,)``; 0 for lines that were not measured."""

    @property
    def matrix(self) -> np.ndarray:
        """Of all pairs, ``(n_lines, n_drugs)``."""
        return self.mean + self.drug + self.line[:, None]


def mean_effects(values: np.ndarray) -> MeanEffects:
    """Fit mean effects to a table with gaps, by alternating means.

    Parameters
    ----------
    values
        Responses, ``(n_lines, n_drugs)``, NaN where not measured.
    """
    measured = np.isfinite(values)
    filled = np.where(measured, values, 0.0)
    n_line, n_drug = measured.sum(1), measured.sum(0)
    mean = filled.sum() / max(measured.sum(), 1)
    drug, line = np.zeros(values.shape[1]), np.zeros(values.shape[0])
    for _ in range(_SWEEPS):
        before = drug
        drug = ((filled - (mean + line[:, None]) * measured).sum(0)) / np.maximum(n_drug, 1)
        line = ((filled - (mean + drug) * measured).sum(1)) / np.maximum(n_line, 1)
        if np.abs(drug - before).max(initial=0) < _TOLERANCE / 10:
            break
    return MeanEffects(float(mean), drug, line)


def soft_impute(residuals: np.ndarray, shrinkage: float) -> np.ndarray:
    """Complete a matrix of low rank.

    Parameters
    ----------
    residuals
        ``(n_lines, n_drugs)``, NaN where not measured; around 0.
    shrinkage
        Taken off each singular value; larger means fewer and smaller components.

    Returns
    -------
    ndarray
        Without gaps, ``(n_lines, n_drugs)``; 0 for lines and drugs that were not measured.

    Notes
    -----
    Mazumder, Hastie and Tibshirani, JMLR 11, 2287 (2010).
    """
    measured = np.isfinite(residuals)
    known = np.where(measured, residuals, 0.0)
    found = np.zeros(known.shape)
    for _ in range(_SWEEPS):
        left, sizes, right = np.linalg.svd(np.where(measured, known, found), full_matrices=False)
        update = (left * np.maximum(sizes - shrinkage, 0)) @ right
        moved = np.abs(update - found).max(initial=0)
        found = update
        if moved < _TOLERANCE:
            break
    return found
