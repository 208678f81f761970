"""Predictions for lines that took no part in them, and the networks made on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from scmomer.tasks.drugs._branches import CellBranch
from scmomer.tasks.drugs._line_kernel import LineRegression
from scmomer.tasks.drugs._mixing import group_folds, network_weight
from scmomer.tasks.drugs._settings import ResponseSettings, ResponseUnits
from scmomer.tasks.drugs._train import train_cell_branch


@dataclass(frozen=True)
class HeldOutLines:
    """What each training line is predicted to be by the others."""

    prediction: np.ndarray
    """``(n_lines, n_drugs)``."""
    novelty: np.ndarray
    """How far each line is from the others, ``(n_lines,)``, from 0 to 1."""
    branches: list[CellBranch]
    """A network for each fold; none if they are not worth it."""
    weight: float
    """Of the networks beside the regression."""


def hold_out_lines(
    values: np.ndarray, features: list[np.ndarray], settings: ResponseSettings
) -> HeldOutLines:
    """Predict each training line from the others, fold by fold.

    Parameters
    ----------
    values
        ``(n_lines, n_drugs)``, NaN where not measured.
    features
        Standardized features, each ``(n_lines, n_features)``.
    settings
        Choices of the user; `n_members`, at least 2, is the number of folds.
    """
    generator = np.random.default_rng(settings.seed)
    everyone = np.arange(len(values))
    folds = group_folds(everyone, settings.n_members, generator)
    naive, network = (np.full(values.shape, np.nan) for _ in range(2))
    novelty = np.full(len(values), np.nan)
    profiles = torch.as_tensor(np.hstack(features), dtype=torch.float32, device=settings.device)
    branches = []
    for k, test in enumerate(folds):
        train = np.setdiff1d(everyone, test)
        # Of training lines alone: the mean of a drug must not tell of its only line.
        units = ResponseUnits.fit(values[train])
        regression = LineRegression.fit([x[train] for x in features], values[train])
        here = [x[test] for x in features]
        naive[test], novelty[test] = regression.predict(here), regression.novelty(here)
        z = torch.as_tensor(units.standardize(values[train]), dtype=torch.float32)
        branch = train_cell_branch(profiles[train], z.to(settings.device), settings.seed + k)
        branches.append(branch)
        with torch.no_grad():
            network[test] = units.restore(branch(profiles[test]).cpu().numpy())

    def mixed(weight: float) -> np.ndarray:
        return naive + weight * (network - naive)

    weight = network_weight(lambda w: np.nanmean((values - mixed(w)) ** 2, 1), folds, "lines")
    return HeldOutLines(mixed(weight), novelty, branches if weight else [], weight)
