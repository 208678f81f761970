"""Standard deviations of predictions, calibrated on what was held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import norm

_LEVEL: Final = 0.9
_PRIOR: Final = 10.0  # held-out errors that the mean over drugs counts for
_LEAST: Final = 1e-3  # in units of the responses of a drug: no prediction is certain


@dataclass(frozen=True)
class Spread:
    """``scale * (base + slope * novelty)``: standard deviation by drug and by what is predicted.

    `novelty` says how far a line or a drug is from the training data. 90 % intervals of a normal
    distribution cover 90 % of the held-out errors.
    """

    scale: np.ndarray
    """Of each column, ``(n_columns,)``."""
    base: float
    slope: float

    @classmethod
    def fit(cls, errors: np.ndarray, novelty: np.ndarray, unit: np.ndarray) -> Spread:
        """Fit to absolute errors on held-out data.

        Parameters
        ----------
        errors
            ``(n, n_columns)``, NaN where not measured.
        novelty
            Of the rows, ``(n,)``, at least 0.
        unit
            Spread of the responses in each column, ``(n_columns,)``: columns with few errors are
            drawn to the mean in these units.
        """
        relative = errors / unit
        known = np.isfinite(relative)
        n = known.sum(0)
        squares = np.nansum(relative**2, 0)
        pooled = max(squares.sum() / n.sum(), _LEAST**2) if n.any() else 1.0
        scale = unit * np.sqrt((squares + _PRIOR * pooled) / (n + _PRIOR))
        standard = errors / scale
        n_row = known.sum(1)
        here = n_row > 0
        row = np.where(known, standard, 0.0).sum(1) / np.maximum(n_row, 1)
        slope = 0.0
        if here.sum() > 2 and novelty[here].std() > 1e-9:
            slope = max(float(np.polyfit(novelty[here], row[here], 1)[0]), 0.0)
        mean = max(float(row[here].mean()), _LEAST) if here.any() else 1.0
        base = max(mean - slope * float(novelty[here].mean()) if here.any() else mean, 0.25 * mean)
        width = base + slope * novelty[:, None]
        ratio = (standard / width)[known]
        quantile = float(np.quantile(ratio, _LEVEL)) if len(ratio) else norm.ppf((1 + _LEVEL) / 2)
        factor = max(quantile / norm.ppf((1 + _LEVEL) / 2), _LEAST)
        return cls(scale, factor * base, factor * slope)

    def __call__(self, novelty: np.ndarray) -> np.ndarray:
        """Return standard deviations, ``(n, n_columns)``."""
        return self.scale * (self.base + self.slope * novelty[:, None])
