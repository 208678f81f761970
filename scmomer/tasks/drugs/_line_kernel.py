"""Response of new cell lines from their profiles: kernel ridge regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial.distance import cdist

from scmomer.tasks.drugs._effects import mean_effects, soft_impute

_CLIP: Final = 2.5  # standard deviations; one gene far out must not decide which lines are near
_WIDTH: Final = 0.3  # per mean squared difference of a standardized feature
_RIDGE: Final = 0.5
_SHRINKAGE: Final = 0.067  # in GDSC, 3 in ln(uM)
_CONSTANT: Final = 1e-6  # standard deviation of a feature that is one value in training


@dataclass(frozen=True)
class Standardizer:
    """Features in standard deviations of the training lines, clipped."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray) -> Standardizer:
        """Measure mean and standard deviation, ``(n_features,)``; 0 if constant."""
        scale = features.std(0)
        return cls(features.mean(0), np.where(scale > _CONSTANT, scale, 0.0))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return standardized features, ``(n, n_features)``; 0 if constant in training."""
        z = np.divide(
            features - self.mean, self.scale, out=np.zeros(features.shape), where=self.scale > 0
        )
        return np.clip(z, -_CLIP, _CLIP)


def without_gaps(blocks: list[np.ndarray]) -> np.ndarray:
    """Return standardized features side by side, for networks, ``(n, n_features)``.

    Features that are NaN become 0, and the others of their block are raised to make up for them, as
    dropout does in training.
    """
    found = []
    for x in blocks:
        share = np.isfinite(x).mean(1, keepdims=True)
        found.append(np.nan_to_num(x, nan=0.0) / np.maximum(share, 1e-9))
    return np.hstack(found)


def denoised_responses(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each drug and the deviations of lines from it, without gaps.

    Deviations are the effect of the line and what is left of low rank: noise of single assays and
    gaps do not reach the regression.

    Returns
    -------
    tuple
        ``(n_drugs,)`` and ``(n_lines, n_drugs)``.
    """
    effects = mean_effects(values)
    low_rank = soft_impute(values - effects.matrix, _SHRINKAGE)
    return effects.mean + effects.drug, low_rank + effects.line[:, None]


def line_kernel(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
    """Return similarities of lines, ``(n_a, n_b)``, from 0 to 1.

    Parameters
    ----------
    a, b
        Blocks of standardized features, each ``(n, n_features)``; blocks count the same, however
        many features they have. Features that are NaN in `a` are left out: as the mean, they would
        be near to all lines.
    """
    distance = np.zeros((len(a[0]), len(b[0])))
    for x, y in zip(a, b, strict=True):
        has = np.isfinite(x).all(0)
        distance += cdist(x[:, has], y[:, has], "sqeuclidean") / max(has.sum(), 1)
    return np.exp(-_WIDTH * distance / len(a))


@dataclass(frozen=True)
class LineRegression:
    """Kernel ridge regression from profiles of lines to responses to all training drugs."""

    blocks: list[np.ndarray]
    """Standardized features of the training lines."""
    coefficients: np.ndarray
    """``(n_lines, n_drugs)``."""
    offset: np.ndarray
    """``(n_drugs,)``."""

    @classmethod
    def fit(cls, blocks: list[np.ndarray], values: np.ndarray) -> LineRegression:
        """Fit to denoised responses.

        Parameters
        ----------
        blocks
            Standardized features, each ``(n_lines, n_features)``.
        values
            Responses, ``(n_lines, n_drugs)``, NaN where not measured.
        """
        drug_mean, deviations = denoised_responses(values)
        center = deviations.mean(0)
        kernel = line_kernel(blocks, blocks)
        kernel[np.diag_indices_from(kernel)] += _RIDGE
        return cls(blocks, np.linalg.solve(kernel, deviations - center), drug_mean + center)

    def predict(self, blocks: list[np.ndarray]) -> np.ndarray:
        """Return responses of other lines, ``(n, n_drugs)``."""
        return self.offset + line_kernel(blocks, self.blocks) @ self.coefficients

    def novelty(self, blocks: list[np.ndarray]) -> np.ndarray:
        """Return the share of the variance that training lines leave open, ``(n,)``, 0 to 1.

        The posterior variance of a Gaussian process with this kernel, over its prior variance.
        """
        kernel = line_kernel(self.blocks, self.blocks)
        kernel[np.diag_indices_from(kernel)] += _RIDGE
        near = line_kernel(blocks, self.blocks)
        explained = (near * np.linalg.solve(kernel, near.T).T).sum(1)
        return np.clip(1 - explained, 0, 1)

    def distance(self, blocks: list[np.ndarray]) -> np.ndarray:
        """Return the distance to the nearest training line, ``(n,)``."""
        return nearest_distance(blocks, self.blocks)


def nearest_distance(
    blocks: list[np.ndarray], others: list[np.ndarray], skip_self: bool = False
) -> np.ndarray:
    """Return root mean squared differences to the nearest of other lines, ``(n,)``.

    With `skip_self`, both are the same lines, and a line is not its own nearest.
    """
    near = line_kernel(blocks, others)
    if skip_self:
        np.fill_diagonal(near, 0)
    return np.sqrt(np.log(1 / np.clip(near.max(1), 1e-300, 1)) / _WIDTH)
