"""Cells to predict: their features, which are training lines, and how far they are from these."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer.data import Profile, as_groups, called, obs_column, warn
from scmomer.tasks.drugs._cell_profiles import standardize_by_query
from scmomer.tasks.drugs._molecules import Molecules
from scmomer.tasks.drugs._response_io import FittedModel

_MANY: Final = 0.1  # of profiles; by definition 5 % of the training lines are far
_STRANGE: Final = 0.7  # one minus similarity


def query_profiles(
    fitted: FittedModel,
    cells: AnnData,
    profile: Profile,
    layer: str | None,
    groupby: str | None,
    by_query: bool,
) -> tuple[list[np.ndarray], pd.Index]:
    """Return features of cells, or mean features of groups, and their names."""
    if not isinstance(cells, AnnData):
        msg = (
            f"Expected cells as an AnnData, found {type(cells).__name__}. For a table of lines x "
            "genes: `anndata.AnnData(table)`."
        )
        raise TypeError(msg)
    groups = None if groupby is None else as_groups(obs_column(cells, groupby, "groupby"))
    with called("cells"):
        blocks = fitted.reader.read(cells, profile, layer)
    if by_query:
        warn(
            "Features are standardized within these cells (standardize='query'): responses are "
            "relative to the mean of these cells."
        )
        blocks = standardize_by_query(blocks, fitted.core.standardizers)
    if groups is None:
        return blocks, cells.obs_names.astype(str)
    used = groups.codes >= 0
    indicator = np.zeros((len(groups.categories), cells.n_obs))
    indicator[groups.codes[used], np.flatnonzero(used)] = 1
    indicator /= indicator.sum(1, keepdims=True)
    return [indicator @ x for x in blocks], pd.Index(groups.categories.astype(str))


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
    features: list[np.ndarray],
    known: np.ndarray,
    molecules: Molecules,
) -> None:
    """Write into a result how far cells and drugs are from the training data; warn if far."""
    result.obs["is_training_line"] = known >= 0
    result.obs["distance"] = fitted.core.line_distance(features)
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
