"""Below which response a line is called sensitive to a drug."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from scmomer.data import examples
from scmomer.tasks.drugs.tables._columns import (
    DRUG_COLUMNS,
    check_table,
    need_column,
    read_names,
    read_numbers,
)
from scmomer.tasks.drugs.tables._synonyms import Synonyms, drug_keys, plain_name

logger = logging.getLogger(__name__)

_VALUE_COLUMNS = ("ln_ic50_threshold", "threshold", "ln_ic50", "value")


def read_thresholds(
    thresholds: Mapping[str, float] | pd.Series | pd.DataFrame,
    drugs: Sequence[str],
    *,
    synonyms: Synonyms | None = None,
    drug_key: str | None = None,
    value_key: str | None = None,
) -> np.ndarray:
    """Return the threshold of each drug, by name or synonym.

    Parameters
    ----------
    thresholds
        A threshold for each name, or a table with columns ``drug`` and ``threshold`` (also
        ``ln_ic50_threshold``). In the units of the responses, ln(uM) for concentrations.
    drugs
        Names of the drugs of the responses.
    synonyms
        Other names, beside the table of the package; see
        :func:`~scmomer.tasks.drugs.match_drug_names`.
    drug_key, value_key
        Columns, if they have other names.

    Returns
    -------
    numpy.ndarray
        float64 ``(n_drugs,)``, NaN for a drug without a threshold. Thresholds of a drug that the
        table has several times, also by other names (such as a second screen), are averaged. How
        many drugs match and how is in the log.

    Raises
    ------
    TypeError
        If `thresholds` are none of these types.
    KeyError
        If a column is absent.
    ValueError
        If thresholds are text, all of them lack a name or a finite value, or no drug has one.

    Examples
    --------
    >>> read_thresholds({"AZD6244": 1.2}, ["Selumetinib", "Erlotinib"])
    array([1.2, nan])
    """
    if not isinstance(thresholds, pd.DataFrame):
        if not isinstance(thresholds, Mapping | pd.Series):
            msg = (
                "Expected thresholds as a mapping of drug to threshold, a Series or a DataFrame, "
                f"found {type(thresholds).__name__}. One value for all drugs is "
                "`dict.fromkeys(drugs, value)`."
            )
            raise TypeError(msg)
        series = pd.Series(thresholds, dtype=object)
        thresholds = pd.DataFrame({"drug": series.index, "threshold": series.to_numpy()})
    thresholds = check_table(thresholds, "thresholds", "a row for each drug")
    drug_key = need_column(thresholds, "thresholds", drug_key, DRUG_COLUMNS, "drug_key")
    value_key = need_column(thresholds, "thresholds", value_key, _VALUE_COLUMNS, "value_key")
    table = pd.DataFrame(
        {
            "name": read_names(thresholds[drug_key]),
            "value": read_numbers(thresholds[value_key], "thresholds"),
        }
    )
    complete = table["name"].notna() & np.isfinite(table["value"])
    if n := int((~complete).sum()):
        logger.info("%d of %d thresholds have no name or value and are left out.", n, len(table))
    if not complete.any():
        msg = (
            f"Expected thresholds with a name and a finite value, found none of {len(table)}. Pass "
            "a number for each drug."
        )
        raise ValueError(msg)
    table = table[complete]
    keys = drug_keys([*table["name"], *map(str, drugs)], synonyms)
    own = keys[len(table) :]
    grouped = table["value"].groupby(keys[: len(table)])
    found = grouped.mean().reindex(own).to_numpy()
    if np.isnan(found).all():
        msg = (
            f"Expected thresholds for some of the drugs {examples(list(drugs))}, found none: "
            f"thresholds has {examples(table['name'].tolist())}. Use names of the drugs; "
            "read_thresholds also takes synonyms=."
        )
        raise ValueError(msg)
    _report(list(map(str, drugs)), found, table["name"], own, grouped)
    return found


def _report(
    drugs: list[str],
    found: np.ndarray,
    names: pd.Series,
    keys: np.ndarray,
    grouped: pd.core.groupby.SeriesGroupBy,
) -> None:
    """Log how many drugs have a threshold, how they match, and which have several."""
    every = pd.Series(drugs)
    has = np.isfinite(found)
    exact = every.isin(names)
    plain = ~exact & every.map(plain_name).isin(names.map(plain_name))
    left = every[~has]
    logger.info(
        "%d of %d drugs have a threshold: %d by the same name, %d without case and punctuation, "
        "%d by synonyms%s.",
        *(has.sum(), len(every), exact.sum(), plain.sum(), (has & ~exact & ~plain).sum()),
        f"; {len(left)} have none, such as {examples(left.tolist())}" if len(left) else "",
    )
    spread = (grouped.max() - grouped.min()).reindex(keys).to_numpy()
    several = grouped.size().reindex(keys).to_numpy() > 1
    if several.any():
        widest = int(np.nanargmax(np.where(several, spread, np.nan)))
        logger.info(
            "%d drugs have several thresholds, which are averaged; they differ by up to %.2g (%s).",
            *(several.sum(), spread[widest], drugs[widest]),
        )
