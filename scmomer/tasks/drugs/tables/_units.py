"""Units of drug responses: told from the values where possible, brought to ln(uM)."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import pandas as pd

from scmomer.data import examples

Units = Literal["ln_um", "log10_um", "um", "nm", "log10_m", "pic50", "auc", "other"]
"""Units of a column of responses."""

_LN10 = np.log(10)
_LARGEST_LN_UM = 35.0  # beyond, of either sign, a value is a code such as -999
_MAX_LN_UM = 15.0  # 3 M: no drug is tested, and hardly one extrapolated, beyond
_MAX_AUC = 1.5  # fitted curves may exceed 1 a little
_MAX_PIC50 = 16
_MIN_LINES = 10  # of a drug whose distribution is judged
# Logarithms of a drug are about symmetric over lines. Measured on 170 drugs of GDSC: of those
# without negative ln(uM), the largest skewness is 1.0 and the largest maximum 3.1 medians; as uM
# the smallest are 1.7 and 9.5.
_MIN_SKEWNESS = 1.5
_MIN_MAX_TO_MEDIAN = 6.0
# log10(M) of a drug is below -1.5 (30 mM) in all lines; ln(uM) is so for a few very potent drugs.
_MAX_LOG10_M = -1.5
_MIN_SHARE_LOG10_M = 0.2
_MIN_DRUGS = 10  # of which that share is judged
_MAX_NAMED = 10  # drugs in a message


def check_units_name(units: str | None) -> None:
    """Raise if units are not among those known."""
    if units is not None and units not in get_args(Units):
        msg = f"Expected units= one of {list(get_args(Units))}, found {units!r}. Pass one of these."
        raise ValueError(msg)


def to_ln_um(values: np.ndarray, units: Units) -> np.ndarray:
    """Return values ``(n,)`` as ln(uM); those of ``"auc"`` and ``"other"`` as they are."""
    if units == "log10_um":
        return values * _LN10
    if units in ("um", "nm"):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(values) - (3 * _LN10 if units == "nm" else 0)
    if units == "log10_m":
        return (values + 6) * _LN10
    if units == "pic50":
        return (6 - values) * _LN10
    return values


def check_units(values: np.ndarray, drugs: np.ndarray, units: Units, column: str) -> None:
    """Raise if values cannot be in these units, for all drugs or for some.

    Parameters
    ----------
    values
        Finite values as in the table, ``(n,)``.
    drugs
        Name of the drug of each, ``(n,)``.
    units
        What they are taken to be.
    column
        Name of the column in messages.

    Raises
    ------
    ValueError
        If the values of some drugs are in other units.

    Notes
    -----
    For logarithms a drug is named if it has no negative value, and either one above ln(uM) = 15 or
    a distribution over lines that is as skewed as that of concentrations. What cannot be told from
    values: natural from decadic logarithms, uM from nM, uM up to 10 from ln(uM), and ln(uM) from
    -log10(M).
    """
    if units == "other":
        return
    groups = pd.Series(values).groupby(drugs, sort=False)
    per_drug = pd.DataFrame({"low": groups.min(), "high": groups.max()})
    if units in ("um", "nm"):
        remedy = (
            "A concentration is above 0. If all values are logarithms, pass units='ln_um' or "
            "'log10_um'; else bring these drugs to one unit or drop the rows."
        )
        _refuse(per_drug["low"] <= 0, units, column, "values of 0 or less", remedy)
    elif units == "auc":
        remedy = (
            f"An AUC is 0 to 1, larger if more resistant. Divide percentages by 100, or pass "
            f"units='other' to take {column!r} as it is."
        )
        outside = (per_drug["low"] < 0) | (per_drug["high"] > _MAX_AUC)
        _refuse(outside, units, column, f"values below 0 or above {_MAX_AUC}", remedy)
    elif units == "log10_m":
        remedy = (
            "log10(M) is negative. If these are -log10(M), pass units='pic50'; if log10(uM), pass "
            "units='log10_um'."
        )
        _refuse(per_drug["high"] > 0, units, column, "values above 0", remedy)
    elif units == "pic50":
        remedy = (
            "-log10(M) of a drug is about 3 to 10. If these are log10(M), pass units='log10_m'; if "
            "concentrations, units='um' or 'nm'."
        )
        outside = (per_drug["low"] < -2) | (per_drug["high"] > _MAX_PIC50)
        _refuse(outside, units, column, f"values below -2 or above {_MAX_PIC50}", remedy)
    else:
        factor = _LN10 if units == "log10_um" else 1.0
        _check_logarithms(groups, per_drug, factor, units, column)
    if units != "auc":
        _check_range(values, drugs, units, column)


def _check_range(values: np.ndarray, drugs: np.ndarray, units: Units, column: str) -> None:
    """Raise if a concentration is none that a curve can give."""
    strange = np.abs(to_ln_um(values, units)) > _LARGEST_LN_UM
    if strange.any():
        which = pd.Series(drugs[strange]).unique()
        msg = (
            f"Expected concentrations in {column!r} as {units!r}, found {strange.sum()} of "
            f"{len(values)} values beyond ln(uM) = -{_LARGEST_LN_UM:g} to {_LARGEST_LN_UM:g}: "
            f"{examples([f'{x:g}' for x in np.unique(values[strange])])} in drugs "
            f"{examples(which)}. Drop these rows, or make missing values NaN."
        )
        raise ValueError(msg)


def _check_logarithms(
    groups: pd.core.groupby.SeriesGroupBy,
    per_drug: pd.DataFrame,
    factor: float,
    units: Units,
    column: str,
) -> None:
    enough = groups.size() >= _MIN_LINES
    skewed = (groups.skew() > _MIN_SKEWNESS) & (
        per_drug["high"] > _MIN_MAX_TO_MEDIAN * groups.median()
    )
    linear = per_drug["high"] * factor > _MAX_LN_UM
    linear = (per_drug["low"] >= 0) & (linear | (skewed & enough))
    remedy = (
        "If all values are concentrations, pass units='um' (or 'nm'); else bring these drugs to "
        "one unit. If they are logarithms all the same, pass check_units=False."
    )
    what = "no negative value and the distribution of concentrations (uM or nM), not of logarithms,"
    _refuse(linear, units, column, what, remedy)
    molar = (per_drug["high"] * factor < _MAX_LOG10_M) & enough
    many = len(molar) >= _MIN_DRUGS and molar.mean() > _MIN_SHARE_LOG10_M
    if molar.all() or many:
        remedy = (
            "If all values are log10(M), pass units='log10_m'; else bring these drugs to one unit. "
            "If the drugs are as potent as that, pass check_units=False."
        )
        _refuse(molar, units, column, f"all values below {_MAX_LOG10_M}, as log10(M)", remedy)


def _refuse(strange: pd.Series, units: Units, column: str, what: str, remedy: str) -> None:
    """Raise if `strange`, a bool per drug, holds for any."""
    if strange.any():
        names = strange.index[strange]
        which = "all" if strange.all() else f"{len(names)} of {len(strange)}"
        msg = (
            f"Expected {column!r} in units {units!r} for all drugs, found {what} in {which} drugs: "
            f"{', '.join(repr(str(name)) for name in names[:_MAX_NAMED])}"
            f"{', ...' if len(names) > _MAX_NAMED else ''}. {remedy}"
        )
        raise ValueError(msg)


def check_not_auc(values: np.ndarray, column: str) -> None:
    """Raise if values whose units nobody named are all between 0 and 1, as an AUC."""
    if len(values) >= _MIN_LINES and values.min() >= 0 and values.max() <= 1:
        msg = (
            f"Expected ln(uM) in {column!r}, found only values from {values.min():.3g} to "
            f"{values.max():.3g}, as of an AUC. Pass units='auc' if larger is more resistant; if "
            f"more sensitive, as an AAC, first run `response[{column!r}] = 1 - "
            f"response[{column!r}]`. Pass units='ln_um' if they are that."
        )
        raise ValueError(msg)
