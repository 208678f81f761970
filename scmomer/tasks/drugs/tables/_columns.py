"""Columns of a user's table: which they are, names without blanks, values without text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from scmomer.data import as_text, examples

LINE_COLUMNS = (
    "cell_line",
    "cell_line_name",
    "line",
    "cell_line_id",
    "depmap_id",
    "model_id",
    "sanger_model_id",
    "cosmic_id",
    "ccle_name",
)
DRUG_COLUMNS = ("drug", "drug_name", "compound", "compound_name", "drug_id", "pubchem_id", "cid")
TISSUE_COLUMNS = (
    "tissue",
    "tcga_desc",
    "cancer_type",
    "lineage",
    "oncotree_lineage",
    "gdsc_tissue",
)
_NO_NAMES = {"", "none", "nan", "<na>", "null", "nat"}


def check_table(table: object, argument: str, needs: str) -> pd.DataFrame:
    """Return the table if it is a DataFrame with unique names of columns.

    Raises
    ------
    TypeError
        If it is no DataFrame.
    ValueError
        If two columns have one name, or there are no rows.
    """
    if not isinstance(table, pd.DataFrame):
        msg = (
            f"Expected {argument} to be a DataFrame with {needs}, found {type(table).__name__}. "
            f"Run `{argument} = pandas.DataFrame({argument})`."
        )
        raise TypeError(msg)
    if repeated := table.columns[table.columns.duplicated()].unique().tolist():
        msg = (
            f"Expected unique names of columns in {argument}, found {repeated} twice. Rename them."
        )
        raise ValueError(msg)
    if table.empty:
        msg = f"Expected rows in {argument}, found none. Pass a table with {needs}."
        raise ValueError(msg)
    return table


def find_column(
    table: pd.DataFrame, argument: str, key: str | None, usual: Sequence[str], option: str
) -> str | None:
    """Return the name of a column: the one asked for, or the first of the usual ones.

    Parameters
    ----------
    table, argument
        The table and its name in messages.
    key
        What the user passed as `option`.
    usual
        Usual names, the preferred one first; case and punctuation do not count.
    option
        Name of the option in messages.

    Returns
    -------
    str
        The column; None if there is no column of a usual name.

    Raises
    ------
    KeyError
        If there is no column `key`.
    ValueError
        If two columns differ in case and punctuation only.
    """
    if key is not None:
        if key not in table.columns:
            msg = (
                f"Expected a column {key!r} in {argument}, found {list(table.columns)}. Pass one "
                f"of these as {option}=."
            )
            raise KeyError(msg)
        return key
    plain = {column: _plain(column) for column in table.columns}
    for name in map(_plain, usual):
        found = [column for column in table.columns if plain[column] == name]
        if len(found) > 1:
            msg = (
                f"Expected one column for {option}= in {argument}, found {found}. Pass one of "
                f"these as {option}=."
            )
            raise ValueError(msg)
        if found:
            return found[0]
    return None


def need_column(
    table: pd.DataFrame, argument: str, key: str | None, usual: Sequence[str], option: str
) -> str:
    """Return the column as :func:`find_column`.

    Raises
    ------
    KeyError
        If there is none.
    """
    column = find_column(table, argument, key, usual, option)
    if column is None:
        msg = (
            f"Expected a column {usual[0]!r} in {argument} (or another usual name such as "
            f"{examples(usual[1:])}), found {list(table.columns)}. Pass its name as {option}=."
        )
        if _is_wide(table):
            msg += (
                f" If rows are cell lines and columns are drugs, run `{argument} = {argument}"
                ".rename_axis(index='cell_line', columns='drug').stack().rename('response')"
                ".reset_index()`."
            )
        raise KeyError(msg)
    return column


def _is_wide(table: pd.DataFrame) -> bool:
    return table.shape[1] > 1 and all(pd.api.types.is_numeric_dtype(t) for t in table.dtypes)


def plain_text(name: object) -> str:
    """Return a name in small letters, either sign of micro as u."""
    text = unicodedata.normalize("NFKC", str(name)).casefold()
    return text.replace("\N{GREEK SMALL LETTER MU}", "u")


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", plain_text(name))


def read_names(column: pd.Series) -> np.ndarray:
    """Return names as text ``(n_rows,)``, None where a name is missing, blank, 'None' or 'nan'.

    Raises
    ------
    TypeError
        If there are lists or the like.
    """
    # Few names, many rows: only the names are converted.
    try:
        codes, names = pd.factorize(column)
    except TypeError as error:
        strange = next(value for value in column if not isinstance(value, Hashable))
        key = column.name
        msg = (
            f"Expected names in {key!r}, found a {type(strange).__name__}: {strange!r}. Make a row "
            f"of each by `table = table.explode({key!r})`, or pass another column."
        )
        raise TypeError(msg) from error
    text = np.array([_name(value) for value in names] + [None], dtype=object)
    return text[codes]


def _name(value: object) -> str | None:
    text = as_text(value).strip()
    return None if text.lower() in _NO_NAMES else text


def read_numbers(column: pd.Series, argument: str) -> np.ndarray:
    """Return values as float64 ``(n_rows,)``, NaN where missing.

    Raises
    ------
    ValueError
        If there is text that is no number.
    """
    numbers = pd.to_numeric(column, errors="coerce")
    text = np.zeros(len(column), bool)
    if not pd.api.types.is_numeric_dtype(column):
        written = column.astype(str).str.strip().str.lower()
        missing = column.isna() | written.isin(_NO_NAMES | {"na", "n/a"})
        text = (numbers.isna() & ~missing).to_numpy()
    if text.any():
        strange = pd.unique(column[text].astype(str))
        msg = (
            f"Expected numbers in {argument}[{column.name!r}], found text in {text.sum()} rows: "
            f"{examples(strange)}. Replace or drop these rows; for a limit such as '>10' pass the "
            "limit or drop the row."
        )
        raise ValueError(msg)
    return numbers.to_numpy(np.float64, na_value=np.nan)
