"""Units: conversion, and tables that cannot be in them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.drugs import read_response

LN10 = np.log(10)
FROM_LN_UM = {
    "ln_um": lambda x: x,
    "log10_um": lambda x: x / LN10,
    "um": np.exp,
    "nm": lambda x: 1000 * np.exp(x),
    "log10_m": lambda x: x / LN10 - 6,
    "pic50": lambda x: 6 - x / LN10,
}


@pytest.fixture
def screen() -> pd.DataFrame:
    """ln(uM) of 60 drugs in 80 lines: potencies as in screens of approved drugs."""
    rng = np.random.default_rng(0)
    drug, line = (i.ravel() for i in np.meshgrid(np.arange(60), np.arange(80)))
    potency = rng.normal(2.6, 2.4, size=60).clip(-5, 6)
    value = potency[drug] + rng.normal(scale=1.5, size=len(drug))
    return pd.DataFrame({"drug": drug.astype(str), "line": line.astype(str), "response": value})


def test_known_values():
    table = pd.DataFrame({"drug": ["x", "x"], "line": ["A", "B"], "response": [1.0, 10.0]})
    assert read_response(table, units="um").values.ravel() == pytest.approx([0, LN10])
    assert read_response(table, units="nm").values.ravel() == pytest.approx([-3 * LN10, -2 * LN10])
    assert read_response(table, units="pic50").values.ravel() == pytest.approx(
        [5 * LN10, -4 * LN10]
    )
    table["response"] *= -1
    assert read_response(table, units="log10_m").values.ravel() == pytest.approx(
        [5 * LN10, -4 * LN10]
    )
    assert read_response(table, units="log10_um").values.ravel() == pytest.approx(
        [-LN10, -10 * LN10]
    )


@pytest.mark.parametrize("units", FROM_LN_UM)
def test_all_concentrations_become_ln_um(screen, units):
    given = screen.assign(response=FROM_LN_UM[units](screen["response"]))
    read = read_response(given, units=units)
    np.testing.assert_allclose(read.values, read_response(screen).values, atol=1e-12)
    assert read.units == "ln_um"


@pytest.mark.parametrize("column", ["ic50_um", "IC50_nM", "pEC50_curvecurator", "ln_ic50"])
def test_a_name_that_says_its_units(screen, column):
    units = {"ic50_um": "um", "IC50_nM": "nm", "ln_ic50": "ln_um"}.get(column, "pic50")
    given = screen.assign(response=FROM_LN_UM[units](screen["response"]))
    read = read_response(given.rename(columns={"response": column}))
    np.testing.assert_allclose(read.values, read_response(screen).values, atol=1e-12)


@pytest.mark.parametrize("units", ["auc", "other"])
def test_other_responses_stay(screen, units):
    auc = screen.assign(response=1 / (1 + np.exp(-screen["response"])))
    read = read_response(auc, units=units)
    assert read.units == units
    np.testing.assert_array_equal(np.sort(read.values.ravel()), np.sort(auc["response"]))


@pytest.mark.parametrize("seed", range(3))
def test_some_drugs_in_other_units_are_named(screen, seed):
    mixed = np.random.default_rng(seed).permutation(60)[:18].astype(str)
    here = screen["drug"].isin(mixed)
    given = screen.assign(response=screen["response"].where(~here, np.exp(screen["response"])))
    with pytest.raises(
        ValueError, match=r"'ln_um' for all drugs, found .* in 1\d of 60 drugs"
    ) as e:
        read_response(given)
    named = re.findall(r"'(\d+)'", str(e.value))
    assert len(named) == 10 and set(named) <= set(mixed)
    with pytest.raises(ValueError, match="'um' for all drugs, found values of 0 or less in"):
        read_response(given, units="um")
    assert read_response(given, check_units=False).values.shape == (80, 60)


def test_some_drugs_as_log10_molar(screen):
    here = screen["drug"].isin([str(i) for i in range(20)])
    molar = FROM_LN_UM["log10_m"](screen["response"])
    given = screen.assign(response=screen["response"].where(~here, molar))
    with pytest.raises(ValueError, match=r"all values below -1.5, as log10\(M\) in 20 of 60 drugs"):
        read_response(given)


def test_a_few_potent_drugs_are_not_taken_as_log10_molar(screen):
    few = screen[screen["drug"].isin([str(i) for i in range(5)])]
    potent = few["drug"].isin(["0", "1"])
    few = few.assign(response=few["response"].mask(potent, -5 - few["response"].abs()))
    assert read_response(few).values.shape == (80, 5)
    with pytest.raises(ValueError, match="pass check_units=False"):
        read_response(few[potent])
    assert read_response(few[potent], check_units=False).units == "ln_um"


@pytest.mark.parametrize(
    ("units", "taken", "message"),
    [
        ("um", None, r"in all drugs: .*If all values are concentrations, pass units='um'"),
        ("nm", "log10_um", "concentrations"),
        ("log10_m", "ln_um", "pass units='log10_m'"),
        ("log10_m", "pic50", "pass units='log10_m'"),
        ("pic50", "log10_m", "pass units='pic50'"),
        ("um", "pic50", "units='um'"),
        ("ln_um", "um", "pass units='ln_um'"),
        ("um", "auc", r"below 0 or above 1.5 in 60 of 60|in all drugs"),
    ],
)
def test_all_drugs_in_other_units_say_which_to_pass(screen, units, taken, message):
    given = screen.assign(response=FROM_LN_UM[units](screen["response"]))
    with pytest.raises(ValueError, match=message):
        read_response(given, units=taken)


def test_an_auc_is_not_taken_as_ln_um(screen):
    auc = screen.assign(response=1 / (1 + np.exp(-screen["response"])))
    with pytest.raises(
        ValueError, match="found only values from .*, as of an AUC. Pass units='auc'"
    ):
        read_response(auc)
    even = screen.assign(response=np.linspace(0, 1, len(screen)))
    assert read_response(even, units="ln_um").units == "ln_um"
    with pytest.raises(ValueError, match="Divide percentages by 100"):
        read_response(auc.assign(response=100 * auc["response"]), units="auc")


def test_an_aac_is_turned_around_first(screen):
    aac = screen.assign(response=1 / (1 + np.exp(screen["response"])))
    with pytest.raises(ValueError, match="if more sensitive, as an AAC, first run `") as error:
        read_response(aac)
    turned = aac.copy()
    exec(str(error.value).split("run `")[1].split("`")[0], {"response": turned})
    read = read_response(turned, units="auc").values.ravel()
    np.testing.assert_allclose(np.sort(read), np.sort(1 - aac["response"]))


@pytest.mark.parametrize(("code", "n"), [(-999, 20), (1e6, 1)])
def test_codes_of_missing_values_are_named(screen, code, n):
    given = screen.copy()
    low = given.index[given["response"] < 0][:1]  # a drug with a negative value
    rows = given.index[given["drug"] == given.loc[low[0], "drug"]].difference(low)[:n]
    given.loc[rows, "response"] = code
    message = rf"found {n} of 4800 values beyond ln\(uM\) = -35 to 35: '{code:g}'.* in drugs "
    with pytest.raises(ValueError, match=message.replace("+", r"\+")):
        read_response(given)
    given.loc[rows, "response"] = np.nan  # as the message says
    assert np.isfinite(read_response(given).values).sum() == 4800 - n


def test_zero_has_no_logarithm(screen, caplog):
    given = screen.assign(response=np.exp(screen["response"]))
    given.loc[0, "response"] = 0
    with pytest.raises(ValueError, match=r"values of 0 or less in 1 of 60 drugs: '0'"):
        read_response(given, units="um")
    with caplog.at_level("INFO", logger="scmomer"):
        read = read_response(given, units="um", check_units=False)
    assert "1 with an infinite value" in caplog.text and np.isnan(read.values).sum() == 1


def test_unknown_units(screen):
    with pytest.raises(ValueError, match=r"units= one of \['ln_um', .*, found 'molar'"):
        read_response(screen, units="molar")
