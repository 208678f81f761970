"""Checks of arguments that several verbs share."""

from __future__ import annotations

import numpy as np


def whole_number(name: str, value: object, remedy: str = "") -> int:
    """Return a whole number above 0, perhaps given as a float such as 64.0.

    Parameters
    ----------
    name, value
        The argument.
    remedy
        Further text of the message.

    Raises
    ------
    ValueError
        If it is none.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value != int(value) or value < 1:  # type: ignore[call-overload, arg-type, operator]
        msg = f"Expected {name} of at least 1, a whole number, found {value!r}.{remedy}"
        raise ValueError(msg)
    return int(value)  # type: ignore[call-overload]


def optional_share(name: str, value: object) -> None:
    """Check a number from 0 to 1, or None.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if value is None:
        return
    found = np.asarray(value)
    if found.ndim == 0 and found.dtype.kind in "iuf" and 0 <= found <= 1:
        return
    msg = f"Expected {name} None or a number from 0 to 1, found {value!r}."
    raise ValueError(msg)


def finite_number(name: str, value: object) -> float:
    """Return a finite number.

    Raises
    ------
    ValueError
        If it is none, such as text or NaN.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not np.isfinite(value):  # type: ignore[call-overload]
        msg = f"Expected {name} to be a finite number, found {value!r}. Pass a number such as 30.0."
        raise ValueError(msg)
    return float(value)  # type: ignore[arg-type]
