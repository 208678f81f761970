"""Kernel ridge regression of changes on parts, with weights of gene sets learned from the screen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from scmomer.tasks.perturbation.model._design import Design

_ROUNDS: Final = 10
_SET_PENALTY: Final = 1.0
_NOISE_RANGE: Final = (0.5, 4.0)  # of a perturbation, relative to the median
_TINY: Final = 1e-12


@dataclass(frozen=True)
class KernelSettings:
    """How much each part of the covariance counts; chosen by validation."""

    penalty: float = 0.7
    """Of the ridge regression, relative to the size of the effect of a gene."""
    mean: float = 1.0
    """How much of the training mean is kept."""
    sets: float = 1.0
    """Effects that genes share if they are in the same sets."""
    vectors: float = 0.0
    """Effects that genes share if they have similar embeddings."""
    own: float = 0.3
    """Effects that only the gene has, which its combinations share with it."""
    slope: float = 0.8
    """A combination as a part of the sum of its parts."""
    mean_slope: float = 1.0
    """Mean of combinations, in training means."""
    shared: float = 0.2
    """Effects that all combinations share."""
    interaction: float = 0.3
    """Effects of a combination that its parts do not have."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers."""
        return asdict(self)


def set_weights(rows: np.ndarray, start: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """Learn which gene sets tell the change.

    Each set has an effect on all genes, with its own variance; variances and effects are estimated
    in turns (as in automatic relevance determination), so that sets in which training perturbations
    do alike count more.

    Parameters
    ----------
    rows
        Membership of training perturbations in sets, ``(n_rows, n_sets)``.
    start
        First weights, ``(n_sets,)``.
    changes
        Changes about the mean, ``(n_rows, n_genes)``.

    Returns
    -------
    numpy.ndarray
        Weights ``(n_sets,)``, with which the mean variance of a training perturbation is 1; zero
        if no training perturbation is in a set.
    """
    if not rows.any() or not changes.any():
        return np.zeros_like(start)
    weights = start / start.mean()
    gram = changes @ changes.T
    for _ in range(_ROUNDS):
        kernel = (rows * weights) @ rows.T
        scale = np.trace(kernel) / len(kernel)
        weights, kernel = weights / scale, kernel / scale
        inverse = np.linalg.inv(kernel + _SET_PENALTY * np.eye(len(kernel)))
        squares = ((inverse @ gram @ inverse @ rows) * rows).sum(axis=0)
        weights = weights * np.sqrt(np.maximum(squares, 0))
        if weights.sum() <= _TINY:
            return np.zeros_like(start)
        weights = weights / weights.sum()
    return weights / (((rows * weights) * rows).sum() / len(rows))


def relative_noise(variance: np.ndarray) -> np.ndarray:
    """Return the noise of each perturbation, relative to the median, ``(n_rows,)``."""
    mean = variance.mean(axis=1)
    middle = np.median(mean)
    return np.clip(mean / middle, *_NOISE_RANGE) if middle > 0 else np.ones_like(mean)


class KernelSmoother:
    """Predicted changes as weighted sums of training changes."""

    def __init__(self, design: Design, changes: np.ndarray, noise: np.ndarray):
        self.design, self.changes, self.noise = design, changes, noise

    def weights(
        self, train: np.ndarray, query: np.ndarray, settings: list[KernelSettings]
    ) -> list[np.ndarray]:
        """Return weights of the training rows for each of some settings.

        Parameters
        ----------
        train, query
            Rows of the design.
        settings
            Settings.

        Returns
        -------
        list
            Arrays ``(n_query, n_train)``.
        """
        design, single = self.design, self.design.single
        average = np.zeros(len(train))
        base = single[train] if single[train].any() else np.ones(len(train), bool)
        average[base] = 1 / base.sum()
        sets: dict[tuple[float, float, float], np.ndarray] = {}
        found = []
        for s in settings:
            slope = np.where(single, 1.0, s.slope)
            level = np.where(single, 1.0, s.mean_slope) * s.mean
            incidence = slope[:, None] * design.incidence
            key = (s.slope, s.mean_slope, s.mean)
            if s.sets and key not in sets:
                changes = self.changes[train]
                about = changes - level[train][:, None] * (average @ changes)
                rows = incidence[train] @ design.features.sets
                sets[key] = set_weights(rows, design.features.set_weights, about)
            covariance = self._covariance(s, sets.get(key))
            left, right = incidence[query] @ covariance, incidence[train]
            kernel = right @ covariance @ right.T
            across = left @ right.T
            combined = (~single).astype(float) * np.sqrt(s.shared)
            kernel += np.outer(combined[train], combined[train])
            across += np.outer(combined[query], combined[train])
            ridge = s.penalty * self.noise[train] + np.where(single[train], 0.0, s.interaction)
            hat = np.linalg.solve(kernel + np.diag(ridge), across.T).T
            offset = level[query] - hat @ level[train]
            found.append(hat + np.outer(offset, average))
        return found

    def _covariance(self, s: KernelSettings, weights: np.ndarray | None) -> np.ndarray:
        features = self.design.features
        found = s.own * np.eye(len(self.design.names))
        if weights is not None:
            found += s.sets * (features.sets * weights) @ features.sets.T
        if s.vectors:
            found += s.vectors * features.vectors @ features.vectors.T
        return found
