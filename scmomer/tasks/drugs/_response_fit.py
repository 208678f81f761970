"""Fitting of responses: known pairs, new lines, new drugs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import torch

from scmomer.tasks.drugs._branches import CellBranch
from scmomer.tasks.drugs._effects import complete
from scmomer.tasks.drugs._graphs import molecule_graphs
from scmomer.tasks.drugs._held_out_drugs import DrugMember, hold_out_drugs, no_drug_branch
from scmomer.tasks.drugs._held_out_lines import hold_out_lines
from scmomer.tasks.drugs._line_kernel import LineRegression, Standardizer, without_gaps
from scmomer.tasks.drugs._molecules import Molecules
from scmomer.tasks.drugs._new_drugs import similarity_weights
from scmomer.tasks.drugs._predicted import Predicted
from scmomer.tasks.drugs._settings import ResponseSettings, ResponseUnits
from scmomer.tasks.drugs._spread import Spread

_PAIR_FOLDS: Final = 10
_ENOUGH_PAIRS: Final = 1000  # errors, for the standard deviation of each drug


@dataclass(frozen=True)
class FittedResponse:
    """What is known after training."""

    molecules: Molecules
    """The training drugs."""
    units: ResponseUnits
    standardizers: list[Standardizer]
    """Of each block of features."""
    regression: LineRegression
    cell_branches: list[CellBranch]
    cell_weight: float
    members: list[DrugMember]
    drug_weight: float
    completed: np.ndarray
    """Responses of the training lines without noise and gaps, ``(n_lines, n_drugs)``."""
    line_spread: Spread
    drug_spread: Spread
    pair_std: np.ndarray
    """Of training lines, ``(n_drugs,)``."""

    def standardize(self, blocks: list[np.ndarray]) -> list[np.ndarray]:
        """Return features in standard deviations of the training lines."""
        return [scale(x) for scale, x in zip(self.standardizers, blocks, strict=True)]

    def predict(
        self, features: list[np.ndarray], known: np.ndarray, molecules: Molecules
    ) -> Predicted:
        """Predict any lines and drugs.

        Parameters
        ----------
        features
            Standardized features of the lines, each ``(n, n_features)``.
        known
            Number of the training line that each line is, -1 for new ones, ``(n,)``.
        molecules
            Drugs; those of a training drug's SMILES are the training drug.
        """
        rows = Predicted.empty(len(known), len(self.molecules))
        for which, part in (
            (known >= 0, lambda here: self._known_lines(known[here])),
            (known < 0, lambda here: self._new_lines([x[here] for x in features])),
        ):
            if which.any():
                rows.put(part(which), rows=which)
        column = pd.Index(self.molecules.smiles).get_indexer(pd.Index(molecules.smiles))
        found = Predicted.empty(len(known), len(molecules))
        is_known = column >= 0
        found.put(rows.take(column[is_known]), columns=is_known)
        if not is_known.all():
            found.put(
                self._new_drugs(rows, molecules.take(molecules.names[~is_known])),
                columns=~is_known,
            )
        return found

    def line_distance(self, features: list[np.ndarray]) -> np.ndarray:
        """Return the distance of lines to the nearest training line, ``(n,)``."""
        return self.regression.distance(features)

    def drug_distance(self, molecules: Molecules) -> np.ndarray:
        """Return one minus the similarity to the nearest training drug, ``(n,)``, 0 to 1."""
        return 1 - molecules.similarity(self.molecules).max(1)

    def _new_lines(self, features: list[np.ndarray]) -> Predicted:
        found = naive = self.regression.predict(features)
        if self.cell_weight:
            device = self.cell_branches[0].drugs.device
            profiles = torch.as_tensor(without_gaps(features), dtype=torch.float32, device=device)
            with torch.no_grad():
                every = torch.stack([branch(profiles) for branch in self.cell_branches])
            network = self.units.restore(every.mean(0).cpu().numpy())
            found = naive + self.cell_weight * (network - naive)
        return Predicted(found, self.line_spread(self.regression.novelty(features)), naive)

    def _known_lines(self, index: np.ndarray) -> Predicted:
        found = self.completed[index]
        return Predicted(found, np.broadcast_to(self.pair_std, found.shape), found)

    def _new_drugs(self, lines: Predicted, molecules: Molecules) -> Predicted:
        """Predict new drugs from the responses of lines to the training drugs.

        Deviations of lines from the mean are averaged over similar drugs in units of each drug's
        standard deviation; so are the level and the spread, which are put back.
        """
        similarity = molecules.similarity(self.molecules)
        weights = similarity_weights(similarity, self.molecules.similarity(self.molecules))
        level, width = weights @ self.units.mean, weights @ self.units.scale
        deviations = self.units.standardize(lines.mean)
        found = naive = deviations @ weights.T
        if self.drug_weight:
            graphs = molecule_graphs(list(molecules.smiles))
            network = np.mean([m.predict(deviations, graphs) for m in self.members], 0)
            found = naive + self.drug_weight * (network - naive)
        of_drug = self.drug_spread(self.drug_distance(molecules))[:, 0]
        # Errors on training lines are in what was measured on held-out drugs.
        excess = np.sqrt(np.maximum(lines.std**2 - self.pair_std**2, 0))
        of_line = (excess / self.units.scale) @ weights.T * width
        std = np.sqrt(of_drug**2 + of_line**2)
        return Predicted(level + found * width, std, level + naive * width)


def fit_response(
    values: np.ndarray,
    blocks: list[np.ndarray],
    molecules: Molecules,
    settings: ResponseSettings,
    for_new_drugs: bool = True,
) -> FittedResponse:
    """Fit to a table of responses.

    Parameters
    ----------
    values
        ``(n_lines, n_drugs)``, NaN where not measured; each line and each drug has a response.
    blocks
        Features of the lines, each ``(n_lines, n_features)``.
    molecules
        The drugs.
    settings
        Choices of the user.
    for_new_drugs
        Also fit what predicts new drugs, which takes most of the time.
    """
    units = ResponseUnits.fit(values)
    standardizers = [Standardizer.fit(x) for x in blocks]
    features = [scale(x) for scale, x in zip(standardizers, blocks, strict=True)]
    lines = hold_out_lines(values, features, settings)
    completed = complete(values, lines.prediction)
    drugs = (
        hold_out_drugs(values, lines.prediction, molecules, settings)
        if for_new_drugs
        else no_drug_branch(values)
    )
    return FittedResponse(
        molecules=molecules,
        units=units,
        standardizers=standardizers,
        regression=LineRegression.fit(features, values),
        cell_branches=lines.branches,
        cell_weight=lines.weight,
        members=drugs.members,
        drug_weight=drugs.weight,
        completed=completed,
        line_spread=Spread.fit(np.abs(values - lines.prediction), lines.novelty, units.scale),
        drug_spread=drugs.spread,
        pair_std=_pair_std(values, lines.prediction, units.scale, settings.seed),
    )


def _pair_std(
    values: np.ndarray, from_profiles: np.ndarray, unit: np.ndarray, seed: int
) -> np.ndarray:
    """Return the error of held-out pairs of training lines and drugs, ``(n_drugs,)``.

    A part of large tables is enough; of small ones, all pairs are held out in turn.
    """
    measured = np.isfinite(values)
    part = np.full(values.shape, -1)
    n = int(measured.sum())
    part[measured] = np.random.default_rng(seed).permutation(n) % _PAIR_FOLDS
    n_parts = min(-(-_ENOUGH_PAIRS * _PAIR_FOLDS // n), _PAIR_FOLDS)
    errors = np.full(values.shape, np.nan)
    for k in range(n_parts):
        held_out = part == k
        found = complete(np.where(held_out, np.nan, values), from_profiles)
        errors[held_out] = np.abs(values - found)[held_out]
    return Spread.fit(errors, np.zeros(len(values)), unit)(np.zeros(1))[0]
