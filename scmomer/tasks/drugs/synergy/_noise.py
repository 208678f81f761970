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
    The error is a nonnegative combination of 1, the standard deviation of members, and how far the
    prediction is below and above the mean; it is fitted to absolute errors, and scaled so that 90 %
    of held-out rows are within 1.645 standard deviations.

    Errors are skewed: strong antagonism is far below its prediction, and hardly ever synergy.
    Probabilities of synergy are therefore from errors above the prediction alone, by Student's t
    with a scale that does not grow below the mean. They grow with the prediction.
    """

    center: float
    """Mean of training."""
    weights: tuple[float, float, float, float]
    """Of 1, the standard deviation of members, the distance below and that above the mean."""
    upper: tuple[float, float]
    """Scale of errors above the prediction: of 1 and of the distance above the mean."""
    df: float
    """Degrees of freedom of Student's t."""

    @classmethod
    def fit(
        cls, observed: np.ndarray, predicted: np.ndarray, spread: np.ndarray, center: float
    ) -> SynergyNoise:
        """Fit to held-out rows; all arrays ``(n,)``."""
        errors = observed - predicted
        parts = _parts(predicted, spread, center)
        weights = _scale_of(parts, np.abs(errors))
        z = np.abs(errors) / (parts @ weights)
        weights *= max(float(np.quantile(z, _LEVEL)) / norm.ppf((1 + _LEVEL) / 2), 1e-6)
        higher = errors > 0 if (errors > 0).any() else np.ones(len(errors), bool)
        upper = _scale_of(parts[higher][:, [0, 3]], np.abs(errors[higher]))
        z = np.abs(errors[higher]) / (parts[higher][:, [0, 3]] @ upper)
        df, _, width = t.fit(np.concatenate([z, -z]), floc=0)
        upper *= max(float(width), 1e-6)
        return cls(
            center,
            tuple(float(w) for w in weights),  # type: ignore[arg-type]
            (float(upper[0]), float(upper[1])),
            # Few held-out rows can have any number of degrees of freedom.
            float(np.clip(df, _MIN_DF, _MAX_DF)),
        )

    def std(self, predicted: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return standard deviations ``(n,)`` of predictions with such a spread of members."""
        return _parts(predicted, spread, self.center) @ np.array(self.weights)

    def probability(self, predicted: np.ndarray, threshold: float) -> np.ndarray:
        """Return the probability ``(n,)`` that the synergy is above a threshold."""
        scale = self.upper[0] + self.upper[1] * np.maximum(predicted - self.center, 0)
        return np.asarray(t.sf((threshold - predicted) / scale, self.df))


def _parts(predicted: np.ndarray, spread: np.ndarray, center: float) -> np.ndarray:
    away = predicted - center
    return np.stack(
        [np.ones_like(predicted), spread, np.maximum(-away, 0), np.maximum(away, 0)], axis=1
    )


def _scale_of(parts: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return nonnegative weights ``(n_parts,)`` of the typical absolute error; the first is not 0."""
    weights, _ = nnls(parts, errors)
    weights[0] = max(weights[0], _FLOOR * max(float(errors.mean()), 1e-6))
    return weights
