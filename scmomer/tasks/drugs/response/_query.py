"""Cells to predict: their features, which are training lines, and how far they are from these."""

from __future__ import annotations

import logging
from typing import Final

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer.data import Profile, as_groups, called, obs_column, warn
from scmomer.tasks.drugs._cell_profiles import CellProfiles
from scmomer.tasks.drugs._checks import check_cells
from scmomer.tasks.drugs.molecules._molecules import Molecules
from scmomer.tasks.drugs.response._io import FittedModel
from scmomer.tasks.drugs.response._predicted import Predicted
from scmomer.tasks.drugs.tables._synonyms import plain_name

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
    check_cells(cells)
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
    named = named_lines(fitted, names)
    for start in range(0, n, _CELLS_AT_ONCE):
        rows = slice(start, start + _CELLS_AT_ONCE)
        blocks = profiles.blocks(rows)
        known = known_lines(fitted, named[rows], blocks)
        features = fitted.core.standardize(blocks)
        found.put(fitted.core.predict(features, known, molecules), rows)
        is_known[rows], distance[rows] = known >= 0, fitted.core.line_distance(features)
    n_named = int((named >= 0).sum())
    logger.info(
        "%d of %d rows are training lines%s.",
        *(is_known.sum(), n),
        f"; {n_named - is_known.sum()} have the name of one with another profile and count as new"
        if n_named > is_known.sum()
        else "",
    )
    return found, is_known, distance


def named_lines(fitted: FittedModel, names: pd.Index) -> np.ndarray:
    """Return the number of the training line with the name of each row, -1 for none, ``(n,)``.

    As in training: names as they are, then without case and punctuation, if that is one line.
    """
    number = fitted.lines.get_indexer(names)
    plain = pd.Index([plain_name(name) for name in fitted.lines])
    alone = ~plain.duplicated(keep=False)
    left = np.flatnonzero(number < 0)
    at = plain[alone].get_indexer([plain_name(name) for name in names[left]])
    number[left] = np.where(at >= 0, np.flatnonzero(alone)[at], -1)
    return number


def known_lines(fitted: FittedModel, named: np.ndarray, blocks: list[np.ndarray]) -> np.ndarray:
    """Return the number of the training line that each row is, -1 for new ones, ``(n,)``.

    A row is a training line if it has its name and its profile, of the genes that are there.

    Parameters
    ----------
    fitted
        The model.
    named
        The training line with the name of each row, of :func:`named_lines`.
    blocks
        Features of the rows.
    """
    number = named.copy()
    rows = np.flatnonzero(number >= 0)
    for k, (mine, training) in enumerate(zip(blocks, fitted.profiles, strict=True)):
        one, other = mine[rows], training[number[rows]]
        here = np.isfinite(one)
        is_expression = k == 0 and fitted.reader.inputs != "embedding"
        gaps = is_expression and not here.all()
        if gaps and fitted.reader.profile != "zscore":
            other = _of_genes(other, here)
        same = (np.isclose(one, other, atol=1e-3, rtol=1e-3) | ~here).all(1)
        number[rows[~same]] = -1
        rows = rows[same]
        if gaps:
            break  # the embedding of fewer genes is another one
    return number


def _of_genes(expression: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Return ``log2(1 + x)`` of whole profiles as it is read if some genes are not there.

    What is normalized is the sum of the genes that are there.
    """
    values = np.exp2(expression) - 1
    part = np.where(here, values, 0).sum(1, keepdims=True)
    scale = values.sum(1, keepdims=True) / np.where(part > 0, part, 1)
    found: np.ndarray = np.log2(1 + values * scale)
    return found


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
