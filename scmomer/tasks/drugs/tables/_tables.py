"""Tables of users: responses of cell lines to drugs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from scmomer.data import examples, warn
from scmomer.tasks.drugs.tables._columns import (
    DRUG_COLUMNS,
    LINE_COLUMNS,
    TISSUE_COLUMNS,
    check_table,
    find_column,
    need_column,
    read_names,
    read_numbers,
)
from scmomer.tasks.drugs.tables._units import Units, check_not_auc, check_units_name, to_ln_um
from scmomer.tasks.drugs.tables._units import check_units as check_values
from scmomer.tasks.drugs.tables._value_names import (
    NamedUnits,
    units_of_name,
    warn_of_contradiction,
    warn_of_doubt,
)

logger = logging.getLogger(__name__)

# Units of the usual columns; None where the name says nothing, and ln(uM) is assumed.
_VALUE_UNITS: dict[str, Units | None] = {
    "ln_ic50": "ln_um",
    "ln_ic50_curvecurator": "ln_um",
    "ln_ic50_um": "ln_um",
    "log10_ic50_um": "log10_um",
    "ic50_um": "um",
    "ic50_nm": "nm",
    "pic50": "pic50",
    "pec50": "pic50",
    "pec50_curvecurator": "pic50",
    "response": None,
    "measure": None,
    "ic50": None,
    "value": None,
    "log10_ic50": "log10_um",
    "log_ic50": "log10_um",
    "log10_ic50_m": "log10_m",
    "auc": "auc",
    "auc_curvecurator": "auc",
}
_NO_TISSUES = ("unclassified", "unable to classify", "unknown")


@dataclass(frozen=True)
class ResponseTable:
    """Responses of cell lines to drugs, one value for each pair."""

    lines: pd.Index
    """Names of cell lines in the order in which the table has them."""
    drugs: pd.Index
    """Names of drugs in the order in which the table has them."""
    values: np.ndarray
    """float64 ``(n_lines, n_drugs)``, NaN where not measured."""
    units: str
    """``"ln_um"``, ``"auc"`` or ``"other"``."""
    tissues: np.ndarray | None
    """Tissue of each line, ``(n_lines,)``, None where unknown."""
    n_duplicates: int
    """Rows that were averaged away."""

    @property
    def frame(self) -> pd.DataFrame:
        """Values as a DataFrame, cell lines x drugs."""
        return pd.DataFrame(self.values, index=self.lines, columns=self.drugs)

    @property
    def pairs(self) -> pd.MultiIndex:
        """Cell line and drug of each measured pair."""
        line, drug = np.nonzero(np.isfinite(self.values))
        names = ["cell_line", "drug"]
        return pd.MultiIndex.from_arrays([self.lines[line], self.drugs[drug]], names=names)


def read_response(
    response: pd.DataFrame,
    *,
    units: Units | None = None,
    line_key: str | None = None,
    drug_key: str | None = None,
    value_key: str | None = None,
    tissue_key: str | None = None,
    groups: Mapping[str, object] | pd.Series | None = None,
    check_units: bool = True,
) -> ResponseTable:
    """Read responses of cell lines to drugs, one row each.

    Parameters
    ----------
    response
        Columns with the cell line, the drug and the response. Usual names are found, among them
        those of GDSC (``CELL_LINE_NAME``, ``DRUG_NAME``, ``LN_IC50``, ``TCGA_DESC``) and drevalpy
        (``cell_line_id``, ``drug_id``, ``response``, ``tissue``).
    units
        Units of the responses. Concentrations, ``"ln_um"``, ``"log10_um"``, ``"um"``, ``"nm"``,
        ``"log10_m"`` and ``"pic50"`` (-log10 M), become ln(uM). ``"auc"`` (0 to 1, larger is more
        resistant) and ``"other"`` stay as they are. None: as the name of the column says, or
        ``"ln_um"``, which is then in the log, or in a warning if no value is negative.
    line_key, drug_key, value_key, tissue_key
        Columns, if they have other names. The tissue may be absent.
    groups
        For names of drugs, which molecule they are (any hashable, such as canonical SMILES). Names
        of one molecule become one drug, the first of them. A name without an entry is a molecule
        of its own.
    check_units
        Refuse values that cannot be in `units`, for all drugs or for some.

    Returns
    -------
    ResponseTable
        Mean of repeated rows of a line and drug, in ln(uM) for concentrations. Rows without a
        name or a finite value are left out, and counted in the log.

    Raises
    ------
    TypeError
        If `response` is no DataFrame.
    KeyError
        If there is no column of a usual name or of that passed.
    ValueError
        If values are text, not in the units, or all missing; or if a line has two tissues.

    Examples
    --------
    >>> table = read_response(pd.read_csv("GDSC2_fitted_dose_response.csv"))
    >>> table.values.shape
    """
    check_units_name(units)
    needs = "a row for each cell line and drug"
    response = check_table(response, "response", needs)
    line_key = need_column(response, "response", line_key, LINE_COLUMNS, "line_key")
    drug_key = need_column(response, "response", drug_key, DRUG_COLUMNS, "drug_key")
    value_key, name = _value_column(response, value_key, units)
    named = name.units
    tissue_key = find_column(response, "response", tissue_key, TISSUE_COLUMNS, "tissue_key")
    rows = pd.DataFrame(
        {
            "line": read_names(response[line_key]),
            "drug": read_names(response[drug_key]),
            "value": read_numbers(response[value_key], "response"),
        }
    )
    if tissue_key is not None:
        rows["tissue"] = read_names(response[tissue_key])
    rows = complete_rows(rows, "response")
    values, drugs = rows["value"].to_numpy(), rows["drug"].to_numpy()
    if check_units:
        if units is None and named is None:
            check_not_auc(values, value_key)
        check_values(values, drugs, units or named or "ln_um", value_key)
    if units is None:
        warn_of_doubt(values, value_key, name)
    taken = units or named or "ln_um"
    rows["value"] = to_ln_um(values, taken)
    rows = complete_rows(rows, "response")  # a value of 0 has no logarithm
    logger.info(
        "Responses: cell lines from %r, drugs from %r, values from %r as %s%s.",
        *(line_key, drug_key, value_key, taken),
        "" if units or named else " (say otherwise by units=)",
    )
    return _matrix(rows, groups, taken)


def _value_column(
    response: pd.DataFrame, key: str | None, units: Units | None
) -> tuple[str, NamedUnits]:
    """Return the column of responses and the units that its name says."""
    usual = list(_VALUE_UNITS)
    if units is not None:  # columns of these units first
        usual.sort(key=lambda name: _VALUE_UNITS[name] != units)
    column = need_column(response, "response", key, usual, "value_key")
    if units is not None:
        warn_of_contradiction(column, units)
        return column, NamedUnits()
    said = units_of_name(column)
    for name, named in _VALUE_UNITS.items():
        if find_column(response[[column]], "response", None, [name], "value_key"):
            return column, said if said.units == named else NamedUnits(named)
    return column, said


def _matrix(
    rows: pd.DataFrame, groups: Mapping[str, object] | pd.Series | None, units: Units
) -> ResponseTable:
    drug, drugs = drug_codes(rows["drug"].to_numpy(), groups)
    line, lines = pd.factorize(rows["line"])
    shape = (len(lines), len(drugs))
    at = line * shape[1] + drug
    n = np.bincount(at, minlength=shape[0] * shape[1])
    total = np.bincount(at, rows["value"].to_numpy(), minlength=len(n))
    mean = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0).reshape(shape)
    n_duplicates = len(rows) - int((n > 0).sum())
    if n_duplicates:
        logger.info("%d repeated rows of a cell line and drug are averaged.", n_duplicates)
    tissues = _tissues(rows) if "tissue" in rows else None
    kept = units if units in ("auc", "other") else "ln_um"
    return ResponseTable(pd.Index(lines), pd.Index(drugs), mean, kept, tissues, n_duplicates)


def _tissues(rows: pd.DataFrame) -> np.ndarray:
    """Return the tissue of each line in the order of lines, None where unknown."""
    known = rows.assign(tissue=_known_tissues(rows["tissue"]))
    lines = pd.unique(rows["line"])
    each = known.dropna(subset="tissue").drop_duplicates(["line", "tissue"])
    if (twice := each["line"].duplicated(keep=False)).any():
        name = each.loc[twice, "line"].iloc[0]
        found = each.loc[each["line"] == name, "tissue"].tolist()
        msg = (
            f"Expected one tissue for each cell line, found {found} for {name!r}. Correct the "
            "table, or pass another column as tissue_key=."
        )
        raise ValueError(msg)
    tissue = each.set_index("line")["tissue"].reindex(lines).astype(object)
    if n := int(tissue.isna().sum()):
        logger.info("%d of %d cell lines have no tissue.", n, len(lines))
    return tissue.where(tissue.notna(), None).to_numpy(object)


def _known_tissues(tissue: pd.Series) -> pd.Series:
    return tissue.mask(tissue.str.lower().isin(_NO_TISSUES))


def drug_codes(
    names: np.ndarray, groups: Mapping[str, object] | pd.Series | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the code of the molecule of each name ``(n,)``, and the first name of each code.

    Raises
    ------
    ValueError
        If `groups` has a name twice.
    """
    name, unique = pd.factorize(names)
    if groups is None:
        return name, unique
    series = pd.Series(groups, dtype=object)
    if series.index.has_duplicates:
        twice = series.index[series.index.duplicated()].unique()
        msg = f"Expected each drug once in groups, found {examples(twice)} twice. Drop the repeats."
        raise ValueError(msg)
    group = series.reindex(unique)
    # A tuple cannot be the group of another name.
    alone = pd.Series([("alone", i) for i in range(len(unique))], index=group.index)
    code = pd.factorize(group.where(group.notna(), alone))[0]
    first = pd.Series(unique).groupby(code, sort=True).first().to_numpy()
    if n := len(unique) - len(first):
        merged = unique[first[code] != unique]
        logger.info("%d names of drugs are those of another (%s).", n, examples(merged))
    return code[name], first


def complete_rows(rows: pd.DataFrame, argument: str) -> pd.DataFrame:
    """Leave out rows without a name or a finite value; counts them in the log.

    Parameters
    ----------
    rows
        Names (None where missing) and ``value``; a missing ``tissue`` or ``fold`` is none.
    argument
        Name of the table in messages.

    Raises
    ------
    ValueError
        If no row is left.
    """
    names = [c for c in rows if c not in ("value", "tissue", "fold")]
    value = rows["value"].to_numpy()
    bad = {f"no {name}": rows[name].isna().to_numpy() for name in names}
    bad |= {"no value": np.isnan(value), "an infinite value": np.isinf(value)}
    drop = cast(np.ndarray, np.logical_or.reduce(list(bad.values())))
    if not drop.any():
        return rows
    counts = ", ".join(f"{mask.sum()} with {why}" for why, mask in bad.items() if mask.any())
    text = f"{drop.sum()} of {len(rows)} rows of {argument} are left out: {counts}."
    if drop.all():
        msg = f"Expected rows with names and a finite value in {argument}, found none ({counts}). "
        msg += "Pass other columns, or repair the table."
        raise ValueError(msg)
    warn(text) if 2 * drop.sum() > len(rows) else logger.info(text)
    return rows[~drop].reset_index(drop=True)
