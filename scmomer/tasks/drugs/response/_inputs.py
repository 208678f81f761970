"""What users pass, as a table, molecules and profiles that belong together."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer.data import check_unique, examples, warn
from scmomer.tasks.drugs.molecules._molecules import Molecules, read_molecules
from scmomer.tasks.drugs.response._settings import ResponseUnits
from scmomer.tasks.drugs.tables._line_names import match_line_names
from scmomer.tasks.drugs.tables._synonyms import match_drug_names
from scmomer.tasks.drugs.tables._tables import ResponseTable, read_response
from scmomer.tasks.drugs.tables._thresholds import read_thresholds

logger = logging.getLogger(__name__)

Drugs: TypeAlias = pd.Series | Mapping[str, str] | pd.DataFrame
"""SMILES by name."""
OnInvalid = Literal["raise", "skip"]
_MIN_LINES: Final = 10
_COLUMNS: Final = ("line_key", "drug_key", "value_key", "tissue_key", "check_units")
_FAR: Final = 4.0  # standard deviations, beyond nearly all lines


@dataclass(frozen=True)
class TrainingInputs:
    """A table of responses, with the molecules of its drugs and the place of its lines."""

    lines: pd.Index
    """Named as in the profiles."""
    values: np.ndarray
    """``(n_lines, n_drugs)``, NaN where not measured."""
    units: str
    tissues: np.ndarray | None
    molecules: Molecules
    """Named as in the table."""
    rows: np.ndarray
    """Row of each line in the profiles, ``(n_lines,)``."""


def read_training(
    response: pd.DataFrame | ResponseTable,
    cells: AnnData,
    drugs: Drugs,
    on_invalid: OnInvalid,
    columns: Mapping[str, Any],
) -> TrainingInputs:
    """Bring responses, profiles and molecules together by name.

    Lines without a profile and drugs without SMILES are left out with a warning.

    Parameters
    ----------
    response
        Rows of line, drug and value; or a table that is read.
    cells
        Profiles; lines are matched to ``obs_names``.
    drugs
        SMILES by name.
    on_invalid
        What to do with SMILES that cannot be read.
    columns
        Keyword arguments of :func:`read_response`.

    Raises
    ------
    TypeError
        If there is no such argument.
    ValueError
        If names do not match, or there is too little to fit.
    """
    if unknown := [name for name in columns if name not in ("units", *_COLUMNS)]:
        msg = (
            f"Expected options among those in the documentation of fit(), units= and "
            f"{', '.join(f'{name}=' for name in _COLUMNS)} for the response, found "
            f"{', '.join(f'{name}=' for name in unknown)}. Rename or leave it out."
        )
        raise TypeError(msg)
    molecules = read_molecules(drugs, on_invalid=on_invalid)
    if isinstance(response, ResponseTable):
        table = _checked(response, columns)
        names = _names_of(table, molecules)
        table = _merged(table, names, molecules)
    else:
        table = read_response(response, **columns)
        names = _names_of(table, molecules)
        found = names[names.notna()]
        smiles = pd.Series(molecules.take(found.tolist()).smiles, index=found.index, dtype=object)
        if smiles.duplicated().any():  # several names of one molecule
            table = read_response(response, groups=smiles, **columns)
    names = _names_of(table, molecules)
    if not cells.obs_names.is_unique:
        twice = cells.obs_names[cells.obs_names.duplicated()].unique()
        msg = (
            f"Expected one profile for each cell line, found several of {examples(twice)} in "
            "cells.obs_names. Keep one of each, or average them."
        )
        raise ValueError(msg)
    lines = match_line_names(table.lines.tolist(), cells.obs_names.astype(str).tolist())
    has_drug, has_line = names.notna().to_numpy(), lines.notna().to_numpy()
    _tell("drugs", "SMILES", table.drugs[~has_drug], len(has_drug))
    _tell("cell lines", "profile", table.lines[~has_line], len(has_line))
    if not has_drug.any():
        msg = (
            f"Expected SMILES of the drugs of the response ({examples(table.drugs)}), found those "
            f"of {examples(molecules.names)}. Pass SMILES by these names as drugs."
        )
        raise ValueError(msg)
    values = table.values[np.ix_(has_line, has_drug)]
    rows = np.isfinite(values).any(1)
    columns_ = np.isfinite(values).any(0)
    values = values[np.ix_(rows, columns_)]
    _check_enough(values)
    kept_lines = table.lines[has_line][rows]
    kept_drugs = table.drugs[has_drug][columns_]
    molecules = molecules.take(names.loc[kept_drugs].tolist()).renamed(kept_drugs)
    position = pd.Index(cells.obs_names.astype(str)).get_indexer(lines.loc[kept_lines].tolist())
    tissues = None if table.tissues is None else table.tissues[has_line][rows]
    names_of_rows = cells.obs_names.astype(str)[position]
    return TrainingInputs(names_of_rows, values, table.units, tissues, molecules, position)


def _check_enough(values: np.ndarray) -> None:
    """Raise if there is too little to fit."""
    if len(values) < _MIN_LINES or values.shape[1] < 2:
        msg = (
            f"Expected responses of at least {_MIN_LINES} cell lines with profiles to at least 2 "
            f"drugs with SMILES, found {values.shape[0]} and {values.shape[1]}. Check that names in "
            "the response are those in cells.obs_names and in drugs."
        )
        raise ValueError(msg)
    if np.ptp(values[np.isfinite(values)]) == 0:
        msg = (
            f"Expected responses that differ, found {np.nanmin(values):g} alone. Check the column "
            "that was read, or pass value_key=."
        )
        raise ValueError(msg)


def _checked(table: ResponseTable, columns: Mapping[str, Any]) -> ResponseTable:
    """Return a table with names as text; raise if they repeat or options are for a DataFrame."""
    if given := [f"{name}=" for name, value in columns.items() if value is not None]:
        msg = (
            f"Expected no {', '.join(given)} with a ResponseTable, found {examples(given)}. Pass "
            "them to read_response, or pass the DataFrame here."
        )
        raise ValueError(msg)
    for names, where in ((table.lines, "response.lines"), (table.drugs, "response.drugs")):
        check_unique(names, where, "Average or rename them.")
    return replace(table, lines=table.lines.astype(str), drugs=table.drugs.astype(str))


def _merged(table: ResponseTable, names: pd.Series, molecules: Molecules) -> ResponseTable:
    """Average drugs of one molecule into the first of them."""
    has = names.notna().to_numpy()
    molecule = table.drugs.to_series().astype(object)
    molecule[has] = molecules.take(names[has].tolist()).smiles
    code, unique = pd.factorize(molecule)
    if len(unique) == len(code):
        return table
    logger.info("%d drugs are another's molecule and are averaged.", len(code) - len(unique))
    measured = np.isfinite(table.values)
    of_drug = np.eye(len(unique))[code]
    n = measured @ of_drug
    total = np.where(measured, table.values, 0) @ of_drug
    values = np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)
    return replace(table, drugs=table.drugs[~pd.Series(code).duplicated()], values=values)


def _names_of(table: ResponseTable, molecules: Molecules) -> pd.Series:
    """Return the name among the molecules of each drug of the table; None where there is none."""
    groups = dict(zip(molecules.names, molecules.smiles, strict=True))
    return match_drug_names(table.drugs.tolist(), molecules.names.tolist(), groups=groups)


def _tell(what: str, of: str, without: pd.Index, n: int) -> None:
    if len(without):
        warn(
            f"{len(without)} of {n} {what} of the response have no {of} ({examples(without)}) and "
            "are left out."
        )


def read_query_drugs(drugs: Any, training: Molecules, on_invalid: OnInvalid) -> Molecules:
    """Return the drugs to predict.

    Parameters
    ----------
    drugs
        None for the training drugs, names of training drugs, or SMILES by name.
    training
        The training drugs.
    on_invalid
        What to do with SMILES that cannot be read.

    Raises
    ------
    ValueError
        If a name is not that of a training drug, two names are the same, or the name of a training
        drug comes with another molecule.
    """
    if drugs is None:
        return training
    if isinstance(drugs, pd.DataFrame | Mapping) or (
        isinstance(drugs, pd.Series) and not isinstance(drugs.index, pd.RangeIndex)
    ):
        return _checked_query(read_molecules(drugs, on_invalid=on_invalid), training)
    wanted = [drugs] if isinstance(drugs, str) else [str(d) for d in drugs]
    if not wanted:
        msg = "Expected at least one drug, found none. Pass names, or None for all training drugs."
        raise ValueError(msg)
    names = match_drug_names(wanted, training.names.tolist())
    if names.isna().any():
        absent = names.index[names.isna()]
        if _read_as_smiles(absent[0]):
            msg = (
                f"Expected names of training drugs ({examples(training.names)}), or SMILES by name "
                f"for new ones, found SMILES without names, such as {absent[0]!r}. Pass them by "
                f"name, as drugs={{'a name': {absent[0]!r}}}."
            )
            raise ValueError(msg)
        msg = (
            f"Expected names of training drugs ({examples(training.names)}), or SMILES by name for "
            f"new ones, found {examples(absent)}. Pass drugs={{{absent[0]!r}: 'its SMILES'}}."
        )
        raise ValueError(msg)
    return training.take(names.tolist()).renamed(names.index)


def _checked_query(molecules: Molecules, training: Molecules) -> Molecules:
    """Return molecules; raise if the name of a training drug is given to another molecule."""
    at = training.names.get_indexer(molecules.names)
    other = (at >= 0) & (training.smiles[at] != molecules.smiles)
    if other.any():
        name = molecules.names[other][0]
        msg = (
            f"Expected the SMILES of training for the drug {name!r} "
            f"({training.smiles[at[other][0]]}), found {molecules.smiles[other][0]}. Rename the "
            "drug if it is another one."
        )
        raise ValueError(msg)
    return molecules


def _read_as_smiles(name: str) -> bool:
    """Return whether a text is a structure rather than a name."""
    if " " in name or not set(name) & set("()=#[]cn1"):
        return False
    try:
        read_molecules({"a": name})
    except ValueError:
        return False
    return True


def read_limits(
    thresholds: Mapping[str, float] | pd.Series | pd.DataFrame,
    molecules: Molecules,
    training: Molecules,
    units: ResponseUnits,
) -> np.ndarray:
    """Return the threshold of each drug, ``(n_drugs,)``; warn of those in other units.

    Parameters
    ----------
    thresholds
        By name of drug.
    molecules
        The drugs.
    training, units
        The training drugs, and mean and standard deviation of the responses to each.
    """
    limits = read_thresholds(thresholds, molecules.names.tolist())
    at = pd.Index(training.smiles).get_indexer(pd.Index(molecules.smiles))
    far = (at >= 0) & (np.abs(limits - units.mean[at]) > _FAR * units.scale[at])
    if far.any():
        k = np.flatnonzero(far)[0]
        mean, scale = units.mean[at[k]], units.scale[at[k]]
        warn(
            f"{int(far.sum())} of {int(np.isfinite(limits).sum())} thresholds lie outside the "
            f"training responses of their drug, such as {limits[k]:g} for {molecules.names[k]!r}, "
            f"whose responses are {mean:.2g} ± {scale:.2g}: pass thresholds in the units of training."
        )
    return limits
