"""Errors on held-out training perturbations, by which settings and methods are chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np

from scmomer.tasks.perturbation.model._design import Design
from scmomer.tasks.perturbation.model._kernel import KernelSettings, KernelSmoother

_MAX_LEFT_OUT: Final = 40  # rows that are held out one by one; of more, in folds
_FOLDS: Final = 10
_SURE: Final = 2.0  # standard errors by which settings must be better than the first ones
_MIN_ROWS: Final = 4  # to choose by
_LEAST: Final = 0.02  # reliability
_TINY: Final = 1e-12

#: Rows of a fold to predict, and those to predict them from.
Fold = tuple[np.ndarray, np.ndarray]
#: Weights ``(n_query, n_train)`` of training changes, from the rows to train on and to predict.
Weights = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Rows:
    """Changes of training perturbations, and their noise."""

    changes: np.ndarray
    """``(n_rows, n_genes)``"""
    variance: np.ndarray
    """Squared standard errors, ``(n_rows, n_genes)``."""
    shared: np.ndarray
    """Variance of the control mean, which all changes share, ``(n_genes,)``."""
    own: np.ndarray
    """False for the perturbed genes themselves, which are not scored, ``(n_rows, n_genes)``."""


def held_out_folds(design: Design, rows: np.ndarray, seed: int = 0) -> list[Fold]:
    """Return folds of some rows; training rows share no part with a held-out single one.

    Parameters
    ----------
    design
        All training perturbations.
    rows
        Those to hold out, each once.
    seed
        Of folds, if there are too many rows to hold out one by one.
    """
    groups = [np.array([row]) for row in rows]
    if len(rows) > _MAX_LEFT_OUT:
        groups = np.array_split(np.random.default_rng(seed).permutation(rows), _FOLDS)
    single, folds = design.single, []
    for group in groups:
        train = np.ones(len(design.parts), bool)
        train[group] = False
        for row in group[single[group]]:
            train &= ~design.shares(row)
        if train.any():
            folds.append((group, np.flatnonzero(train)))
    return folds


@dataclass(frozen=True)
class Held:
    """Agreement of predictions with held-out rows, each ``(n_held_out,)``."""

    row: np.ndarray
    """Row that was held out."""
    cosine: np.ndarray
    """Cosine of predicted and observed change, without the noise that both share."""
    error: np.ndarray
    """Mean squared error, likewise."""
    reliability: np.ndarray
    """Share of the squared observed change that is not noise, by which rows are weighted."""

    @property
    def agreement(self) -> np.ndarray:
        """Weighted cosine, ``(n_held_out,)``; its mean is what methods are chosen by."""
        return self.cosine * self.reliability / self.reliability.mean()


def compare(rows: Rows, query: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> Held:
    """Compare predictions with held-out rows as if these had a control mean of their own.

    All changes share the noise of one control mean. Predictions that repeat it seem too good: their
    product with the observed change by its variance times the sum of their weights.

    Parameters
    ----------
    rows
        Training perturbations.
    query
        Those that were predicted, ``(n_query,)``.
    predicted
        ``(n_query, n_genes)``
    weights
        Sum of the weights of training changes in each prediction, ``(n_query,)``.
    """
    own = rows.own[query]
    truth, predicted = rows.changes[query] * own, predicted * own
    total = (truth**2).sum(axis=1)
    signal = total - (rows.variance[query] * own).sum(axis=1)
    reliability = np.clip(signal / np.maximum(total, _TINY), _LEAST, 1)
    product_ = (truth * predicted).sum(axis=1) - weights * (own * rows.shared).sum(axis=1)
    size = (predicted**2).sum(axis=1)
    length = np.sqrt(np.maximum(size, _TINY) * np.maximum(signal, 0.1 * total + _TINY))
    return Held(
        row=query,
        cosine=np.clip(product_ / length, -1, 1),
        error=(total - 2 * product_ + size) / np.maximum(own.sum(axis=1), 1),
        reliability=reliability,
    )


def join(parts: Sequence[Held]) -> Held:
    """Return the held-out rows of all folds."""
    names = ("row", "cosine", "error", "reliability")
    return Held(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))


def held_out_settings(
    smoother: KernelSmoother, rows: Rows, folds: Sequence[Fold], settings: list[KernelSettings]
) -> list[Held]:
    """Return the agreement of held-out rows for each setting."""
    found: list[list[Held]] = [[] for _ in settings]
    for query, train in folds:
        for i, weights in enumerate(smoother.weights(train, query, settings)):
            predicted = weights @ rows.changes[train]
            found[i].append(compare(rows, query, predicted, weights.sum(axis=1)))
    return [join(one) for one in found]


def better(found: Sequence[Held], first: int, sure: float = _SURE) -> int:
    """Return the one with the best agreement, unless it is not surely better than the first.

    Parameters
    ----------
    found
        Of each setting or method, with the same held-out rows.
    first
        That which is kept in doubt.
    sure
        Standard errors by which another must be better.
    """
    agreement = np.array([one.agreement for one in found])
    best = int(agreement.mean(axis=1).argmax())
    gain = agreement[best] - agreement[first]
    if len(gain) < _MIN_ROWS:
        return first
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    return best if gain.mean() > sure * error else first


def choose_settings(smoother: KernelSmoother, rows: Rows) -> KernelSettings:
    """Choose settings by held-out single perturbations, then by held-out combinations."""
    design, features = smoother.design, smoother.design.features
    single = np.flatnonzero(design.single)
    first = KernelSettings(sets=float(features.sets.any()))
    if not first.sets and features.vectors.any():
        first = replace(first, vectors=0.3)
    chosen = first
    if len(single) >= _MIN_ROWS:
        choices = [
            replace(first, penalty=p, mean=m, sets=s, vectors=v)
            for p, m, s, v in product(
                (0.3, 0.7, 2.0),
                (1.0, 0.0),
                (1.0, 0.0) if features.sets.any() else (0.0,),
                (0.0, 0.3, 1.0) if features.vectors.any() else (0.0,),
            )
        ]
        found = held_out_settings(smoother, rows, held_out_folds(design, single), choices)
        chosen = choices[better(found, choices.index(first))]
    combined = np.flatnonzero(~design.single)
    if len(combined) < _MIN_ROWS or not len(single):
        return chosen
    choices = [
        replace(chosen, slope=a, mean_slope=b, own=o, shared=c)
        for a, b, o, c in product((0.8, 1.0), (1.0, 0.0), (0.3, 1.0), (0.2, 0.0))
    ]
    found = held_out_settings(smoother, rows, held_out_folds(design, combined), choices)
    return choices[better(found, 0)]
