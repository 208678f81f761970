"""Responses as mean effects of drugs and cell lines, and what is left of low rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

_SWEEPS: Final = 100
_SHRINKAGE: Final = 0.2  # of what is left after profiles and mean effects
_TOLERANCE: Final = 1e-3  # of the spread of the residuals


@dataclass(frozen=True)
class MeanEffects:
    """``mean + drug + line``, fitted by least squares."""

    mean: float
    drug: np.ndarray
    """``(n_drugs,)``, mean 0; 0 for drugs that were not measured."""
    line: np.ndarray
    """``(n_lines,)``, mean 0; 0 for lines that were not measured."""

    @property
    def matrix(self) -> np.ndarray:
        """Of all pairs, ``(n_lines, n_drugs)``."""
        return self.mean + self.drug + self.line[:, None]


def mean_effects(values: np.ndarray) -> MeanEffects:
    """Fit mean effects to a table with gaps, by least squares.

    Parameters
    ----------
    values
        Responses, ``(n_lines, n_drugs)``, NaN where not measured.
    """
    if values.shape[0] < values.shape[1]:  # what is solved for is the smaller side
        turned = mean_effects(values.T)
        return MeanEffects(turned.mean, turned.line, turned.drug)
    measured = np.isfinite(values).astype(float)
    filled = np.nan_to_num(values, nan=0.0)
    n_line = np.maximum(measured.sum(1), 1)
    share = measured / n_line[:, None]
    # Normal equations without the effects of lines. Of effects that responses leave open, such as a
    # shift of all drugs against all lines, the smallest are taken.
    left = np.diag(measured.sum(0)) - measured.T @ share
    drug = np.linalg.lstsq(left, filled.sum(0) - share.T @ filled.sum(1), rcond=1e-10)[0]
    line = (filled.sum(1) - measured @ drug) / n_line
    has_line, has_drug = measured.any(1), measured.any(0)
    of_drug = float(drug[has_drug].mean()) if has_drug.any() else 0.0
    of_line = float(line[has_line].mean()) if has_line.any() else 0.0
    return MeanEffects(
        of_drug + of_line,
        np.where(has_drug, drug - of_drug, 0),
        np.where(has_line, line - of_line, 0),
    )


def soft_impute(residuals: np.ndarray, shrinkage: float) -> np.ndarray:
    """Complete a matrix of low rank.

    Parameters
    ----------
    residuals
        ``(n_lines, n_drugs)``, NaN where not measured; around 0.
    shrinkage
        Taken off each singular value, relative to the largest of a matrix of noise that is as large
        and spread as the residuals: it means the same in all units and for small and large tables.
        Larger means fewer and smaller components.

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
    spread = float(np.sqrt((known**2).sum() / max(measured.sum(), 1)))
    noise = spread * (np.sqrt(measured.any(1).sum()) + np.sqrt(measured.any(0).sum()))
    found = np.zeros(known.shape)
    for _ in range(_SWEEPS):
        left, sizes, right = np.linalg.svd(np.where(measured, known, found), full_matrices=False)
        update = (left * np.maximum(sizes - shrinkage * noise, 0)) @ right
        moved = np.abs(update - found).max(initial=0)
        found = update
        if moved <= _TOLERANCE * spread:
            break
    return found


def complete(values: np.ndarray, from_profiles: np.ndarray) -> np.ndarray:
    """Complete a table: predictions from profiles, mean effects, then what is left of low rank.

    Parameters
    ----------
    values
        ``(n_lines, n_drugs)``, NaN where not measured.
    from_profiles
        Predictions for each line from others, same shape.
    """
    start = from_profiles + mean_effects(values - from_profiles).matrix
    return start + soft_impute(values - start, _SHRINKAGE)
