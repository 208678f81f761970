"""Units that the name of a column says, and names that say none."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.drugs import read_response

LN10 = np.log(10)


def table(column: str, values: tuple[float, ...] = (1.0, 3.0)) -> pd.DataFrame:
    return pd.DataFrame({"line": ["A", "B"], "drug": ["x", "x"], column: values})


def read_quietly(given: pd.DataFrame, **options) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_response(given, **options).values.ravel()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("IC50 (µM)", (0, np.log(3))),
        ("IC50 [μM]", (0, np.log(3))),  # the Greek letter
        ("IC50 (nM)", (-3 * LN10, np.log(3) - 3 * LN10)),
        ("log10 IC50 (µM)", (LN10, 3 * LN10)),
        ("pIC50", (5 * LN10, 3 * LN10)),
        ("LN_IC50", (1, 3)),
    ],
)
def test_usual_names_say_their_units(column, expected):
    assert read_quietly(table(column)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("IC50 of screen 2 (uM)", (0, np.log(3))),
        ("ec50 micromolar", (0, np.log(3))),
        ("log10_EC50_uM", (LN10, 3 * LN10)),
        ("mean pIC50", (5 * LN10, 3 * LN10)),
        ("fitted ln(IC50)", (1, 3)),
    ],
)
def test_names_passed_as_value_key_say_them_too(column, expected):
    assert read_quietly(table(column), value_key=column) == pytest.approx(expected)


def test_a_logarithm_of_10_is_no_natural_one():
    read = read_quietly(table("log10_ic50", (-1, 2)), value_key="log10_ic50")
    assert read == pytest.approx([-LN10, 2 * LN10])
    with pytest.warns(UserWarning, match="'logIC50' is read as 'log10_um', which logarithm"):
        read = read_response(table("logIC50", (-1, 2))).values.ravel()
    assert read == pytest.approx([-LN10, 2 * LN10])
    assert read_quietly(table("logIC50", (-1, 2)), units="ln_um") == pytest.approx([-1, 2])


@pytest.mark.parametrize(
    ("column", "of_ln_um"),
    [("log10 IC50 (nM)", lambda x: x / LN10 + 3), ("log2_ic50", lambda x: x / np.log(2))],
)
def test_logarithms_of_other_units_get_the_line_that_converts_them(column, of_ln_um):
    given = table(column, tuple(of_ln_um(np.array([-1.0, 2.0]))))
    with pytest.raises(ValueError, match="by its name a logarithm of others. Run `") as error:
        read_response(given, value_key=column)
    line = str(error.value).split("Run `")[1].split("`")[0]
    exec(line, {"response": given})
    read = read_quietly(given, value_key=column, units="ln_um")
    assert read == pytest.approx([-1, 2], abs=1e-4)


@pytest.mark.parametrize("column", ["IC50", "response", "log10_ic50"])
def test_units_that_nothing_shows_are_warned_of(column):
    with pytest.warns(UserWarning, match=r"which neither its name nor a negative.*Pass units="):
        read_response(table(column))
    read_quietly(table(column, (-1, 2)))
    read_quietly(table(column), units="log10_um" if "log10" in column else "um")


def test_units_against_the_name_are_warned_of():
    with pytest.warns(UserWarning, match="read as 'nm', as units= says, but its name says 'um'"):
        read_response(table("IC50_uM"), units="nm")
    with pytest.warns(UserWarning, match="larger if more sensitive.*= 1 - response"):
        read_response(table("AAC", (0.1, 0.3)), value_key="AAC", units="auc")
    read_quietly(table("log10_ic50", (-7, -6)), units="log10_m")
    read_quietly(table("IC50_uM"), units="other")
