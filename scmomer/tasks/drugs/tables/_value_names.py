"""Units of responses that the name of a column says."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from scmomer.data import warn
from scmomer.tasks.drugs.tables._columns import plain_text
from scmomer.tasks.drugs.tables._units import Units

_LOG = re.compile(r"(?<![a-z])(ln|log10|log2|log(?!\d))")
_MOLAR = re.compile(r"(?<![a-z])(nanomolar|micromolar|nm|um|m)(?![a-z0-9])")
_PREFIX = {"nanomolar": "n", "micromolar": "u", "nm": "n", "um": "u", "m": "m"}
_NEGATIVE_LOG = re.compile(r"(?<![a-z])p(ic|ec|gi)50|^-\s*log(10)?[^a-z].*(?<![a-z])m(?![a-z])")
_AAC = re.compile(r"(?<![a-z])aac(?![a-z])")
_OF_CONCENTRATION: dict[tuple[str, str], Units] = {
    ("", "u"): "um",
    ("", "n"): "nm",
    ("ln", "u"): "ln_um",
    ("ln", ""): "ln_um",  # as everywhere
    ("log10", "u"): "log10_um",
    ("log10", "m"): "log10_m",
    ("log10", ""): "log10_um",
    ("log", "u"): "log10_um",
    ("log", "m"): "log10_m",
    ("log", ""): "log10_um",
}


class NamedUnits(NamedTuple):
    """What the name of a column says."""

    units: Units | None = None
    base: bool = True
    """Whether it says the base of a logarithm."""
    molar: bool = True
    """Whether it says uM, nM or M."""


def units_of_name(column: str) -> NamedUnits:
    """Return the units that a name says, such as log10(uM) of ``"log10 IC50 (µM)"``.

    Raises
    ------
    ValueError
        If it says a logarithm of other units than those known.
    """
    text = plain_text(column)
    if _NEGATIVE_LOG.search(text):
        return NamedUnits("pic50")
    logarithm, molar = _LOG.search(text), _MOLAR.search(text)
    log = logarithm[1] if logarithm else ""
    unit = "" if molar is None else _PREFIX[molar[1]]
    if log and (log == "log2" or unit == "n" or (log == "ln" and unit == "m")):
        scale = {"ln": 1.0, "log2": np.log(2)}.get(log, np.log(10))
        shift = {"n": np.log(1e-3), "m": np.log(1e6)}.get(unit, 0.0)
        msg = (
            f"Expected a column of known units, found {column!r}, by its name a logarithm of "
            f"others. Run `response[{column!r}] = response[{column!r}] * {scale:.6g} + "
            f"{shift:.6g}` and pass units='ln_um'; if the name is wrong, pass its units=."
        )
        raise ValueError(msg)
    found = _OF_CONCENTRATION.get((log, unit))
    return NamedUnits(found, base=log != "log", molar=bool(unit) or log == "ln")


def warn_of_contradiction(column: str, units: Units) -> None:
    """Warn if the units that the user passed are not those that the name says."""
    if units == "auc" and _AAC.search(plain_text(column)):
        warn(
            f"{column!r} is taken as AUC, but an AAC is larger if more sensitive, an AUC if more "
            f"resistant. Run `response[{column!r}] = 1 - response[{column!r}]` first."
        )
    if units == "other":
        return
    try:
        named = units_of_name(column)
    except ValueError:  # units that only the user can know
        return
    if named.units is None or named.units == units:
        return
    same_base = units in ("log10_um", "log10_m") and not named.molar
    if not same_base and named.base:
        warn(
            f"{column!r} is read as {units!r}, as units= says, but its name says "
            f"{named.units!r}. If the name is right, leave out units=."
        )


def warn_of_doubt(values: np.ndarray, column: str, named: NamedUnits) -> None:
    """Warn if the name does not say the units ``named`` and no value shows that they are right."""
    taken = named.units or "ln_um"
    if not named.base:
        reason = "which logarithm its name does not say"
    elif (values >= 0).all() and (named.units is None or not named.molar):
        reason = (
            "which neither its name nor a negative value shows (concentrations up to 10 uM and "
            "-log10(M) look the same)"
        )
    else:
        return
    warn(
        f"{column!r} is read as {taken!r}, {reason}. Pass units= ({taken!r} if it is that; for "
        "example 'um', 'nm' or 'pic50')."
    )
