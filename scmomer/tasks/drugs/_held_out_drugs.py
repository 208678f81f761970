"""Predictions for drugs that took no part in them, and the networks made on the way."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from scmomer.tasks.drugs._branches import DrugBranch
from scmomer.tasks.drugs._effects import complete
from scmomer.tasks.drugs._graphs import MoleculeGraphs, molecule_graphs
from scmomer.tasks.drugs._mixing import group_folds, network_weight
from scmomer.tasks.drugs._molecules import Molecules
from scmomer.tasks.drugs._new_drugs import similarity_weights
from scmomer.tasks.drugs._settings import ResponseSettings, ResponseUnits
from scmomer.tasks.drugs._spread import Spread
from scmomer.tasks.drugs._train import train_drug_branch

logger = logging.getLogger(__name__)

_N_COMPONENTS: Final = 16
_MIN_MOLECULES: Final = 20


@dataclass(frozen=True)
class DrugMember:
    """A drug branch and how it reads lines."""

    branch: DrugBranch
    projection: np.ndarray
    """From the responses of a line to what the branch reads, ``(n_drugs, 1 + n_components)``: the
    mean over the drugs that the member was trained on, and components of unit variance. Rows of
    other drugs are 0."""

    def predict(self, deviations: np.ndarray, graphs: MoleculeGraphs) -> np.ndarray:
        """Return responses in standard deviations of the new drugs, ``(n_lines, n_new)``.

        Parameters
        ----------
        deviations
            Of lines, in standard deviations of the training drugs, ``(n_lines, n_drugs)``.
        graphs
            New molecules.
        """
        device = self.branch.loadings.weight.device
        read = torch.as_tensor(deviations @ self.projection, dtype=torch.float32, device=device)
        with torch.no_grad():
            return self.branch(graphs.to(device), read).cpu().numpy()


def fit_member(
    deviations: np.ndarray,
    graphs: MoleculeGraphs,
    train: np.ndarray,
    settings: ResponseSettings,
    seed: int,
) -> DrugMember:
    """Train a member on the drugs `train` alone.

    `deviations`, ``(n_lines, n_drugs)``, of other drugs are not read.
    """
    among = deviations[:, train]
    mean = among.mean(1, keepdims=True)
    _, sizes, right = np.linalg.svd(among - mean, full_matrices=False)
    keep = (sizes > 1e-6 * sizes[0]).nonzero()[0][:_N_COMPONENTS]
    directions = right[keep].T / sizes[keep] * np.sqrt(len(among))
    projection = np.zeros((deviations.shape[1], 1 + len(keep)))
    projection[train, 0] = 1 / len(train)
    projection[train, 1:] = directions - directions.mean(0)  # the mean does not count twice
    read, values = (
        torch.as_tensor(x, dtype=torch.float32, device=settings.device)
        for x in (among @ projection[train], among)
    )
    branch = train_drug_branch(
        graphs.take(torch.as_tensor(train)).to(settings.device),
        read,
        values,
        pooling=settings.pooling,
        seed=seed,
    )
    return DrugMember(branch, projection)


@dataclass(frozen=True)
class HeldOutDrugs:
    """What training drugs are predicted to be by the others."""

    members: list[DrugMember]
    """Of each fold; none if they are not worth it."""
    weight: float
    """Of the networks beside the average over similar drugs."""
    spread: Spread
    """Of predictions for new drugs, by one minus the similarity to the nearest training drug."""


def hold_out_drugs(
    values: np.ndarray,
    from_profiles: np.ndarray,
    molecules: Molecules,
    settings: ResponseSettings,
) -> HeldOutDrugs:
    """Predict each training drug from the others, fold by fold.

    Parameters
    ----------
    values
        Responses, ``(n_lines, n_drugs)``, NaN where not measured.
    from_profiles
        Predictions for each line from others, same shape.
    molecules
        Of the drugs.
    settings
        Choices of the user; `n_members`, at least 2, is the number of folds.
    """
    if len(np.unique(molecules.group)) < _MIN_MOLECULES:
        logger.info("Fewer than %d molecules: no drug branch.", _MIN_MOLECULES)
        return no_drug_branch(values)
    everyone = np.arange(len(molecules))
    units = ResponseUnits.fit(values)
    similarity = molecules.similarity(molecules)
    graphs = molecule_graphs(list(molecules.smiles))
    folds = group_folds(molecules.group, settings.n_members, np.random.default_rng(settings.seed))
    naive, network = (np.full(values.shape, np.nan) for _ in range(2))
    level, width, nearest = (np.full(len(everyone), np.nan) for _ in range(3))
    members = []
    for k, test in enumerate(folds):
        train = np.setdiff1d(everyone, test)
        # Completed without the held-out drugs, which would be in what is left of low rank.
        deviations = np.zeros(values.shape)
        deviations[:, train] = complete(values[:, train], from_profiles[:, train])
        deviations = units.standardize(deviations)
        near = similarity[np.ix_(test, train)]
        weights = similarity_weights(near, similarity[np.ix_(train, train)])
        nearest[test] = near.max(1)
        level[test], width[test] = weights @ units.mean[train], weights @ units.scale[train]
        naive[:, test] = deviations[:, train] @ weights.T
        members.append(fit_member(deviations, graphs, train, settings, settings.seed + k))
        network[:, test] = members[-1].predict(deviations, graphs.take(torch.as_tensor(test)))

    def mixed(weight: float) -> np.ndarray:
        return naive + weight * (network - naive)

    weight = network_weight(lambda w: -_correlations(values, mixed(w)), folds, "drugs")
    errors = np.abs(values - (level + mixed(weight) * width))
    return HeldOutDrugs(
        members if weight else [],
        weight,
        Spread.fit(errors.T.reshape(-1, 1), np.repeat(1 - nearest, len(values)), np.ones(1)),
    )


def no_drug_branch(values: np.ndarray) -> HeldOutDrugs:
    """Return what similarity alone gives; the spread is that of all responses."""
    return HeldOutDrugs([], 0.0, Spread(np.ones(1), float(np.nanstd(values)), 0.0))


def _correlations(values: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of each column over measured lines, ``(n_drugs,)``."""
    measured = np.isfinite(values)
    n = np.maximum(measured.sum(0), 1)

    def centered(x: np.ndarray) -> np.ndarray:
        known = np.where(measured, x, 0.0)
        return np.where(measured, x - known.sum(0) / n, 0.0)

    a, b = centered(values), centered(predicted)
    size = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    return np.divide((a * b).sum(0), size, out=np.zeros(len(n)), where=size > 0)
