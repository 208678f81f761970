"""Columns of users' tables: usual names, options, blanks, text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.drugs import read_response
from scmomer.tasks.drugs.tables._columns import read_names, read_numbers


def test_blank_names_are_missing_and_whole_numbers_have_no_point():
    column = pd.Series(["A549", " HT-29 ", "", "None", "nan", None, np.nan, 905954.0], dtype=object)
    assert read_names(column).tolist() == ["A549", "HT-29", None, None, None, None, None, "905954"]
    assert read_names(pd.Series([905954.0, np.nan])).tolist() == ["905954", None]
    assert read_names(pd.Series(["a", "b", "a"], dtype="category")).tolist() == ["a", "b", "a"]


def test_numbers_as_text_are_read_and_other_text_is_named():
    column = pd.Series(["1.5", "NA", None, "-2"], name="ic50", dtype=object)
    np.testing.assert_array_equal(read_numbers(column, "response"), [1.5, np.nan, np.nan, -2])
    column[1] = ">10"
    with pytest.raises(
        ValueError, match=r"numbers in response\['ic50'\], found text in 1 rows: '>10'"
    ):
        read_numbers(column, "response")
    assert np.isnan(read_numbers(pd.Series([1, None], dtype="Int64"), "response")[1])


@pytest.mark.parametrize(
    "columns",
    [
        ("cell_line", "drug", "ln_ic50"),
        ("cell_line_id", "drug_id", "measure"),
        ("cell_line_name", "pubchem_id", "response"),
        ("CELL_LINE_NAME", "DRUG_NAME", "LN_IC50"),
        ("Cell line", "Drug", "LN_IC50_curvecurator"),
    ],
)
def test_usual_names_need_no_option(columns):
    table = pd.DataFrame([["A", "x", 1.0], ["B", "x", -2.0]], columns=list(columns))
    read = read_response(table)
    assert read.lines.tolist() == ["A", "B"] and read.drugs.tolist() == ["x"]
    assert read.values.tolist() == [[1.0], [-2.0]] and read.units == "ln_um"


def test_names_go_before_ids_and_options_before_both():
    table = pd.DataFrame(
        {
            "COSMIC_ID": [1, 2],
            "CELL_LINE_NAME": ["A", "B"],
            "DRUG_ID": [7, 7],
            "DRUG_NAME": ["x", "x"],
            "LN_IC50": [1.0, -2.0],
            "AUC": [0.9, 0.2],
        }
    )
    assert read_response(table).lines.tolist() == ["A", "B"]
    other = read_response(table, line_key="COSMIC_ID", drug_key="DRUG_ID", units="auc")
    assert other.lines.tolist() == ["1", "2"] and other.drugs.tolist() == ["7"]
    assert other.values.tolist() == [[0.9], [0.2]]
    assert read_response(table, value_key="AUC").units == "auc"


def test_columns_that_are_not_there():
    table = pd.DataFrame({"cell_line": ["A"], "agent": ["x"], "ln_ic50": [1.0]})
    message = r"column 'drug' in response .* found \['cell_line', 'agent', 'ln_ic50'\].*drug_key="
    with pytest.raises(KeyError, match=message):
        read_response(table)
    assert read_response(table, drug_key="agent").drugs.tolist() == ["x"]
    with pytest.raises(KeyError, match=r"column 'molecule' in response, found .* as drug_key="):
        read_response(table, drug_key="molecule")
    twice = table.assign(drug="x", Drug="y")
    with pytest.raises(ValueError, match=r"one column for drug_key= .* found \['drug', 'Drug'\]"):
        read_response(twice)
    assert read_response(twice, drug_key="Drug").drugs.tolist() == ["y"]


def test_a_matrix_of_lines_and_drugs_gets_the_line_that_melts_it():
    response = pd.DataFrame(np.arange(6.0).reshape(3, 2) - 3, index=list("ABC"), columns=["x", "y"])
    with pytest.raises(KeyError, match="rows are cell lines") as error:
        read_response(response)
    line = str(error.value).split("`")[1]
    names = {"response": response}
    exec(line, names)
    pd.testing.assert_frame_equal(read_response(names["response"]).frame, response)


def test_what_is_no_table():
    with pytest.raises(TypeError, match=r"response to be a DataFrame .* found list"):
        read_response([("A", "x", 1.0)])
    with pytest.raises(ValueError, match="rows in response, found none"):
        read_response(pd.DataFrame({"drug": [], "cell_line": [], "ln_ic50": []}))
    double = pd.DataFrame([["A", "B", "x", 1.0]], columns=["line", "line", "drug", "response"])
    with pytest.raises(ValueError, match=r"unique names of columns in response, found \['line'\]"):
        read_response(double)


def test_lists_are_no_names_and_the_remedy_works():
    table = pd.DataFrame({"drug": ["x", ["y", "z"]], "line": "A", "ln_ic50": [1.0, -1.0]})
    with pytest.raises(TypeError, match=r"names in 'drug', found a list: \['y', 'z'\]") as error:
        read_response(table)
    given = {"table": table}
    exec(str(error.value).split("`")[1], given)
    assert read_response(given["table"]).drugs.tolist() == ["x", "y", "z"]
