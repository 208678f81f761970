"""Thresholds of drugs, by any of their names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.drugs import read_thresholds


def test_thresholds_by_name_and_synonym(caplog):
    table = pd.DataFrame(
        {
            "drug": ["AZD6244", "PLX4720", "PLX4720 (rescreen)", "Erlotinib", "x", "Erlotinib"],
            "ln_ic50_threshold": [1.2, 1.0, 2.0, 0.5, 9.0, -0.5],
        }
    )
    drugs = ["Erlotinib", "Selumetinib", "PLX-4720", "unknown"]
    with caplog.at_level("INFO", logger="scmomer"):
        found = read_thresholds(table, drugs)
    np.testing.assert_allclose(found, [0.0, 1.2, 1.5, np.nan])
    assert (
        "3 of 4 drugs have a threshold: 1 by the same name, 1 without case and punctuation, 1 by "
        "synonyms; 1 have none, such as 'unknown'" in caplog.text
    )
    assert "2 drugs have several thresholds, which are averaged" in caplog.text
    assert "differ by up to 1 (Erlotinib)" in caplog.text


@pytest.mark.parametrize("container", [dict, pd.Series])
def test_mappings(container):
    found = read_thresholds(container({"a": 1.0, "b": 2.0}), ["B", "z", "compound"])
    np.testing.assert_array_equal(found, [2.0, np.nan, np.nan])
    other = read_thresholds(container({"a": 1.0}), ["compound"], synonyms={"compound": "a"})
    assert other.tolist() == [1.0]


def test_missing_ones_are_counted(caplog):
    with caplog.at_level("INFO", logger="scmomer"):
        found = read_thresholds({"a": np.nan, "b": 1.0, "None": 2.0}, ["a", "b"])
    np.testing.assert_array_equal(found, [np.nan, 1.0])
    assert "2 of 3 thresholds have no name or value" in caplog.text


def test_wrong_tables():
    with pytest.raises(ValueError, match="thresholds for some of the drugs 'a', found none.*'b'"):
        read_thresholds({"b": 1.0}, ["a"])
    with pytest.raises(ValueError, match="found text in 1 rows: 'low'"):
        read_thresholds({"a": "low"}, ["a"])
    with pytest.raises(KeyError, match="Pass its name as value_key="):
        read_thresholds(pd.DataFrame({"drug": ["a"], "limit": [1.0]}), ["a"])


@pytest.mark.parametrize("given", [1.0, [1.0]])
def test_thresholds_without_names(given):
    with pytest.raises(TypeError, match=rf"found {type(given).__name__}.*`dict.fromkeys\(drugs"):
        read_thresholds(given, ["a"])


@pytest.mark.parametrize("given", [{"a": np.inf}, {"a": np.nan, None: 1.0}])
def test_thresholds_that_are_no_numbers(given):
    with pytest.raises(ValueError, match=f"name and a finite value, found none of {len(given)}"):
        read_thresholds(given, ["a"])
