"""Predictions from averages: no change, mean, additive, matching mean, other groups.

Each is a function of training :class:`~scmomer.tasks.perturbation.Effects`, the parts and the
groups of what is to be predicted, and returns changes, ``(n, n_genes)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scmomer.tasks.perturbation.screen._effects import Effects

Parts = Sequence[tuple[str, ...]]


def no_change(train: Effects, parts: Parts, groups: Sequence[str]) -> np.ndarray:
    """Predict no change."""
    return np.zeros((len(parts), len(train.genes)))


def training_mean(train: Effects, parts: Parts, groups: Sequence[str]) -> np.ndarray:
    """Predict the mean change of training perturbations: of the group, or of all if it has none."""
    if not len(train):
        msg = "Expected training perturbations, found none. Keep at least one for training."
        raise ValueError(msg)
    own, change = np.asarray(train.groups, dtype=object), train.change
    means = {g: change[own == g] if (own == g).any() else change for g in set(groups)}
    means = {g: rows.mean(axis=0) for g, rows in means.items()}
    return np.stack([means[g] for g in groups])


def additive(train: Effects, parts: Parts, groups: Sequence[str]) -> np.ndarray:
    """Predict the sum of the changes by the parts; a part not seen alone has the mean of singles.

    Of a single perturbation that was not seen it is the mean too.
    """
    return np.stack([s.sum(axis=0) for s in part_changes(train, parts, groups)])


def matching_mean(train: Effects, parts: Parts, groups: Sequence[str]) -> np.ndarray:
    """Predict the mean of the changes by the parts; a part not seen alone has the mean of all.

    Notes
    -----
    The reference of Vinas Torne et al. (2025), *Systema*, Nature Biotechnology.
    """
    return np.stack([s.mean(axis=0) for s in part_changes(train, parts, groups, of_all=True)])


def other_groups(train: Effects, parts: Parts, groups: Sequence[str]) -> np.ndarray:
    """Predict the mean change by the same perturbation in the other groups.

    Without such rows, the mean of training perturbations.
    """
    change, predicted = train.change, training_mean(train, parts, groups)
    own = np.asarray(train.groups, dtype=object)
    names = ["+".join(p) for p in train.parts]
    for i, (p, group) in enumerate(zip(parts, groups, strict=True)):
        same = np.array([name == "+".join(sorted(p)) for name in names]) & (own != group)
        if same.any():
            predicted[i] = change[same].mean(axis=0)
    return predicted


def part_changes(
    train: Effects, parts: Parts, groups: Sequence[str], *, of_all: bool = False
) -> list[np.ndarray]:
    """Return the changes by the parts of each perturbation, ``(n_parts, n_genes)`` each.

    Parameters
    ----------
    train, parts, groups
        As of each prediction.
    of_all
        A part not seen alone has the mean change of all training perturbations, not of single ones.
    """
    singles = train.rows(np.array([len(p) == 1 for p in train.parts], bool))
    base = train if of_all or not len(singles) else singles
    means = training_mean(base, parts, groups)
    change = singles.change
    at = {(p[0], g): i for i, (p, g) in enumerate(zip(singles.parts, singles.groups, strict=True))}
    return [
        np.stack([change[at[part, group]] if (part, group) in at else mean for part in p])
        for p, group, mean in zip(parts, groups, means, strict=True)
    ]
