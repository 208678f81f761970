"""Cells to predict: their features, which are training lines, and how far they are from these."""

from __future__ import annotations

import logging
from typing import Final, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer.data import Profile, as_groups, called, obs_column, warn
from scmomer.tasks.drugs._cell_profiles import CellProfiles
from scmomer.tasks.drugs._molecules import Molecules
from scmomer.tasks.drugs._predicted import Predicted
from scmomer.tasks.drugs._response_io import FittedModel

logger = logging.getLogger(__name__)

_CELLS_AT_ONCE: Final = 2048
_MANY: Final = 0.1  # of profiles; by definition 5 % of the training lines are far
_STRANGE: Final = 0.7  # one minus similarity


def query_profiles(
    fitted: FittedModel,
    cells: AnnData,
    profile: Profile,
    layer: str | None,
    groupby: str | None,
    by_query: bool,
) -> tuple[CellProfiles, pd.Index]:
    """Return profiles of cells, or mean profiles of groups, and their names."""
    if not isinstance(cells, AnnData):
        msg = (
            f"Expected cells as an AnnData, found {type(cells).__name__}. For a table of lines x "
            "genes: `anndata.AnnData(table)`."
        )
        raise TypeError(msg)
    if not cells.n_obs:
        msg = "Expected at least one cell in cells, found none. Check how they were selected."
        raise ValueError(msg)
    groups = None if groupby is None else _groups(cells, groupby)
    with called("cells"):
        profiles = fitted.reader.read_profiles(cells, profile, layer)
    if by_query:
        warn(
            "Features are standardized within these cells (standardize='query'): responses are "
            "relative to the mean of these cells."
        )
        profiles = profiles.standardized(fitted.core.standardizers)
    if groups is None:
        return profiles, cells.obs_names.astype(str)
    return profiles.averaged(groups), pd.Index(groups.categories.astype(str))


def _groups(cells: AnnData, groupby: str) -> pd.Categorical:
    groups = as_groups(obs_column(cells, groupby, "groupby"))
    if not len(groups.categories):
        msg = (
            f"Expected groups in cells.obs[{groupby!r}], found missing values (NaN) alone. Pass "
            "another column as groupby=, or none to predict cells."
        )
        raise ValueError(msg)
    if n := int((groups.codes < 0).sum()):
        logger.info("%d of %d cells are in no group of %r.", n, len(groups), groupby)
    return groups


def within_query(
    fitted: FittedModel, profile: Profile, standardize: Literal["training", "query"] | None
) -> bool:
    """Return whether features are standardized within the query.

    Raises
    ------
    ValueError
        If `standardize` is unknown, or z-scores are compared with values that are none.
    """
    if standardize not in (None, "training", "query"):
        msg = (
            f"Expected standardize of 'training', 'query' or None, found {standardize!r}. Choose "
            "one."
        )
        raise ValueError(msg)
    differ = (profile == "zscore") != (fitted.reader.profile == "zscore")
    if differ and standardize == "training":
        msg = (
            f"Expected profile={fitted.reader.profile!r}, as in training, with "
            f"standardize='training', found {profile!r}: z-scores have other units. Pass "
            "standardize='query'."
        )
        raise ValueError(msg)
    return differ or standardize == "query"


def predict_cells(
    fitted: FittedModel, profiles: CellProfiles, names: pd.Index, molecules: Molecules
) -> tuple[Predicted, np.ndarray, np.ndarray]:
    """Predict some cells at a time.

    Returns
    -------
    Predicted
        For cells x drugs.
    ndarray
        Which are training lines, bool ``(n_cells,)``.
    ndarray
        Distance to the nearest training line, ``(n_cells,)``.
    """
    n = len(profiles)
    found = Predicted.empty(n, len(molecules))
    is_known, distance = np.zeros(n, bool), np.zeros(n)
    for start in range(0, n, _CELLS_AT_ONCE):
        rows = slice(start, start + _CELLS_AT_ONCE)
        blocks = profiles.blocks(rows)
        known = known_lines(fitted, names[rows], blocks)
        features = fitted.core.standardize(blocks)
        found.put(fitted.core.predict(features, known, molecules), rows)
        is_known[rows], distance[rows] = known >= 0, fitted.core.line_distance(features)
    return found, is_known, distance


def known_lines(fitted: FittedModel, names: pd.Index, blocks: list[np.ndarray]) -> np.ndarray:
    """Return the number of the training line that each row is, -1 for new ones, ``(n,)``.

    A row is a training line if it has its name and its profile.
    """
    number = fitted.lines.get_indexer(names)
    named = np.flatnonzero(number >= 0)
    for mine, training in zip(blocks, fitted.profiles, strict=True):
        here = np.nan_to_num(mine[named]), np.nan_to_num(training[number[named]])
        same = np.isclose(*here, atol=1e-3, rtol=1e-3).all(1)
        number[named[~same]] = -1
        named = named[same]
    return number


def describe(
    fitted: FittedModel,
    result: AnnData,
    is_known: np.ndarray,
    distance: np.ndarray,
    molecules: Molecules,
) -> None:
    """Write into a result how far cells and drugs are from the training data; warn if far."""
    result.obs["is_training_line"] = is_known
    result.obs["distance"] = distance
    smiles = molecules.smiles.astype(str)
    result.var["smiles"] = smiles
    result.var["is_training_drug"] = np.isin(smiles, fitted.core.molecules.smiles.astype(str))
    result.var["distance"] = fitted.core.drug_distance(molecules)
    far = result.obs["distance"].to_numpy() > fitted.usual_distance
    if far.mean() > _MANY:
        warn(
            f"{int(far.sum())} of {len(far)} profiles are further from the training lines than 95 % "
            "of these are from each other: expect larger errors than their standard deviations say."
        )
    strange = result.var["distance"].to_numpy() > _STRANGE
    if strange.any():
        shown = ", ".join(map(repr, result.var_names[strange][:5]))
        warn(
            f"{int(strange.sum())} of {len(strange)} drugs resemble no training drug ({shown}): "
            "their predictions are close to the mean response of each cell."
        )
