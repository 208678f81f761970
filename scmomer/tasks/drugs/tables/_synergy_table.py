"""Tables of users: synergy of pairs of drugs in cell lines."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scmomer.tasks.drugs.tables._columns import (
    LINE_COLUMNS,
    check_table,
    find_column,
    need_column,
    read_names,
    read_numbers,
)
from scmomer.tasks.drugs.tables._tables import complete_rows, drug_codes

logger = logging.getLogger(__name__)

A_COLUMNS = ("drug_a", "drug_a_name", "drug_1", "drug_row", "drug_1_name", "drug_name_a")
B_COLUMNS = ("drug_b", "drug_b_name", "drug_2", "drug_col", "drug_2_name", "drug_name_b")
_VALUE_COLUMNS = ("synergy", "synergy_score", "loewe", "synergy_loewe", "loewe_synergy", "score")


@dataclass(frozen=True)
class SynergyTable:
    """Synergy of unordered pairs of different drugs, each pair once for a cell line."""

    drugs: pd.Index
    """Names of drugs in the order in which the table has them (first ``drug_a``)."""
    lines: pd.Index
    """Names of cell lines in the order in which the table has them."""
    drug_a: np.ndarray
    """int ``(n,)``, position in `drugs`, below that of `drug_b`."""
    drug_b: np.ndarray
    """int ``(n,)``, position in `drugs`."""
    line: np.ndarray
    """int ``(n,)``, position in `lines`."""
    value: np.ndarray
    """float64 ``(n,)``, positive for synergy."""
    fold: np.ndarray | None
    """int ``(n,)``, numbers of given folds; whole numbers as in the table, others by rank."""
    n_duplicates: int
    """Rows that were averaged away."""

    @property
    def pair(self) -> np.ndarray:
        """One number for each pair of drugs, int ``(n,)``."""
        return self.drug_a * len(self.drugs) + self.drug_b

    @property
    def pairs(self) -> pd.MultiIndex:
        """Cell line and both drugs of each row, drugs in alphabetical order."""
        drugs = self.drugs.to_numpy(object)
        both = np.sort(np.stack([drugs[self.drug_a], drugs[self.drug_b]], axis=1), axis=1)
        names = ["cell_line", "drug_a", "drug_b"]
        return pd.MultiIndex.from_arrays([self.lines[self.line], *both.T], names=names)


def read_synergy(
    synergy: pd.DataFrame,
    *,
    drug_a_key: str | None = None,
    drug_b_key: str | None = None,
    line_key: str | None = None,
    value_key: str | None = None,
    fold_key: str | None = None,
    groups: Mapping[str, object] | pd.Series | None = None,
) -> SynergyTable:
    """Read synergy of pairs of drugs, one row for each pair and cell line.

    Parameters
    ----------
    synergy
        Columns with both drugs, the cell line, the synergy and perhaps the fold. Usual names are
        found, among them those of O'Neil's table as used by DeepSynergy (``drug_a_name``,
        ``drug_b_name``, ``cell_line``, ``synergy``, ``fold``) and of DrugComb (``drug_row``,
        ``drug_col``, ``synergy_loewe``).
    drug_a_key, drug_b_key, line_key, value_key, fold_key
        Columns, if they have other names. The fold may be absent.
    groups
        For names of drugs, which molecule they are (any hashable, such as canonical SMILES). Names
        of one molecule become one drug, the first of them.

    Returns
    -------
    SynergyTable
        (A, B) and (B, A) are one pair, and repeats in a line are averaged. Rows without a name or
        a finite value, and of a drug with itself, are left out, and counted in the log.

    Raises
    ------
    TypeError
        If `synergy` is no DataFrame.
    KeyError
        If there is no column of a usual name or of that passed.
    ValueError
        If values are text or all missing, folds are missing, or repeats of a pair and line are in
        two folds.

    Examples
    --------
    >>> table = read_synergy(pd.read_csv("synergy.csv"))
    >>> table.value.shape
    """
    synergy = check_table(synergy, "synergy", "a row for each pair of drugs and cell line")
    wanted = {
        "drug_a": (drug_a_key, A_COLUMNS),
        "drug_b": (drug_b_key, B_COLUMNS),
        "line": (line_key, LINE_COLUMNS),
        "value": (value_key, _VALUE_COLUMNS),
    }
    columns = {
        role: need_column(synergy, "synergy", key, usual, f"{role}_key")
        for role, (key, usual) in wanted.items()
    }
    rows = pd.DataFrame({r: read_names(synergy[c]) for r, c in columns.items() if r != "value"})
    rows["value"] = read_numbers(synergy[columns["value"]], "synergy")
    fold_key = find_column(synergy, "synergy", fold_key, ("fold",), "fold_key")
    if fold_key is not None:
        rows["fold"] = _folds(synergy[fold_key])
    return _merge(complete_rows(rows, "synergy"), groups)


def _folds(column: pd.Series) -> np.ndarray:
    names = read_names(column)
    if n := sum(name is None for name in names):
        msg = (
            f"Expected a fold for each row in synergy[{column.name!r}], found {n} without. Drop "
            f"these rows, or the column: `synergy = synergy.drop(columns={column.name!r})`."
        )
        raise ValueError(msg)
    numbers = pd.to_numeric(pd.Series(names), errors="coerce").to_numpy()
    if np.isfinite(numbers).all() and (numbers == np.round(numbers)).all():
        return numbers.astype(int)
    return pd.factorize(names, sort=True)[0]


def _merge(rows: pd.DataFrame, groups: Mapping[str, object] | pd.Series | None) -> SynergyTable:
    """Order pairs, leave out those of a drug with itself, average repeats."""
    code, drugs = drug_codes(rows[["drug_a", "drug_b"]].to_numpy(object).T.ravel(), groups)
    both = np.sort(code.reshape(2, -1), axis=0)  # (2, n_rows)
    rows = rows.assign(a=both[0], b=both[1])
    same = both[0] == both[1]
    if same.any():
        logger.info("%d rows of a drug with itself are left out.", same.sum())
    rows = rows[~same]
    if rows.empty:
        msg = "Expected pairs of different drugs in synergy, found none. Pass other columns."
        raise ValueError(msg)
    rows["line"], lines = pd.factorize(rows["line"])
    grouped = rows.groupby(["a", "b", "line"], sort=False)
    merged = grouped["value"].mean().reset_index()
    fold = None
    if "fold" in rows:
        several = (grouped["fold"].nunique() > 1).to_numpy()
        if several.any():
            a, b, line = merged.loc[several, ["a", "b", "line"]].to_numpy()[0]
            msg = (
                f"Expected repeats of a pair of drugs and a line in one fold, found {several.sum()} "
                f"in several, such as {drugs[a]!r} and {drugs[b]!r} in {lines[line]!r}. Drop the "
                "column of folds, or give all rows of a pair (of molecules) one fold."
            )
            raise ValueError(msg)
        fold = grouped["fold"].first().to_numpy()
    if n := len(rows) - len(merged):
        logger.info("%d repeated rows of a pair (in either order) and line are averaged.", n)
    a, b, line = merged[["a", "b", "line"]].to_numpy().T
    value = merged["value"].to_numpy()
    return SynergyTable(pd.Index(drugs), pd.Index(lines), a, b, line, value, fold, n)
