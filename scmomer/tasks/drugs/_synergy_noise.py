"""How far predicted synergy is off: standard deviations and probabilities, from held-out rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.stats import norm, t

_LEVEL = 0.9
_MIN_DF, _MAX_DF = 2.5, 100.0
_FLOOR = 0.1  # of the typical error, below which none is taken to be


@dataclass(frozen=True)
class SynergyNoise:
    """Errors of prediction, larger where members differ and away from the mean.

    Notes
    -----
    The error is a nonnegative combination of 1, the standard deviation of members and the distance
    of the prediction from the mean, fitted to absolute errors, and scaled so that 90 % of held-out
    rows are within 1.645 standard deviations. Errors have heavier tails than a normal
    distribution; probabilities are of Student's t.
    """

    center: float
    """Mean of training."""
    weights: tuple[float, float, float]
    """Of 1, the standard deviation of members and the distance from the mean."""
    df: float
    """Degrees of freedom of Student's t."""
    width: float
    """Its scale, in standard deviations."""

    @classmethod
    def fit(
        cls, observed: np.ndarray, predicted: np.ndarray, spread: np.ndarray, center: float
    ) -> SynergyNoise:
        """Fit to held-out rows; all arrays ``(n,)``."""
        errors = np.abs(observed - predicted)
        typical = max(float(errors.mean()), 1e-6)
        parts = _parts(predicted, spread, center)
        weights, _ = nnls(parts, errors)
        weights[0] = max(weights[0], _FLOOR * typical)
        z = (observed - predicted) / (parts @ weights)
        scale = max(float(np.quantile(np.abs(z), _LEVEL)) / norm.ppf((1 + _LEVEL) / 2), 1e-6)
        df, _, width = t.fit(z / scale, floc=0)
        first, second, third = (float(w * scale) for w in weights)
        # Few held-out rows can have any number of degrees of freedom.
        clipped = float(np.clip(df, _MIN_DF, _MAX_DF))
        return cls(center, (first, second, third), clipped, float(width))

    def std(self, predicted: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return standard deviations ``(n,)`` of predictions with such a spread of members."""
        return _parts(predicted, spread, self.center) @ np.array(self.weights)

    def probability(self, predicted: np.ndarray, std: np.ndarray, threshold: float) -> np.ndarray:
        """Return the probability ``(n,)`` that the synergy is above a threshold."""
        z = (threshold - predicted) / (std * self.width)
        return np.asarray(t.sf(z, self.df))


def _parts(predicted: np.ndarray, spread: np.ndarray, center: float) -> np.ndarray:
    return np.stack([np.ones_like(predicted), spread, np.abs(predicted - center)], axis=1)
