"""Tables of responses: what becomes of each row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.drugs import read_response


def test_round_trip(response, matrix):
    before = response.copy()
    table = read_response(response)
    order = [f"line {i}" for i in range(40)], [f"drug {i}" for i in range(12)]
    np.testing.assert_array_equal(table.frame.reindex(index=order[0], columns=order[1]), matrix)
    assert table.n_duplicates == 0 and table.tissues is None
    assert len(table.pairs) == len(response)
    assert set(table.pairs) == set(zip(response["cell_line"], response["drug"], strict=True))
    again = (
        table.frame.stack().dropna().rename("response").rename_axis(["line", "drug"]).reset_index()
    )
    np.testing.assert_array_equal(read_response(again).values, table.values)
    pd.testing.assert_frame_equal(response, before)


def test_lines_and_drugs_are_in_the_order_of_the_table():
    table = read_response(
        pd.DataFrame({"line": ["z", "a", "z"], "drug": ["q", "b", "b"], "response": [1.0, -2, 3]})
    )
    assert table.lines.tolist() == ["z", "a"] and table.drugs.tolist() == ["q", "b"]
    np.testing.assert_array_equal(table.values, [[1, 3], [np.nan, -2]])


def test_repeats_are_averaged_and_counted(response, caplog):
    repeated = pd.concat([response, response.iloc[:30].assign(ln_ic50=lambda t: t["ln_ic50"] + 1)])
    with caplog.at_level("INFO", logger="scmomer"):
        table = read_response(repeated)
    assert table.n_duplicates == 30
    assert "30 repeated rows of a cell line and drug are averaged" in caplog.text
    some = response.iloc[3]
    found = table.frame.loc[some["cell_line"], some["drug"]]
    assert found == pytest.approx(some["ln_ic50"] + 0.5)


def test_repeats_of_concentrations_are_averaged_as_logarithms():
    table = pd.DataFrame({"line": ["A", "A"], "drug": ["x", "x"], "ic50_um": [1.0, np.e**2]})
    assert read_response(table).values == pytest.approx(1.0)


def test_names_of_one_molecule_are_one_drug(caplog):
    table = pd.DataFrame(
        {"line": ["A", "A", "A", "B"], "drug": ["p", "q", "r", "q"], "response": [1.0, 3, -5, 7]}
    )
    with caplog.at_level("INFO", logger="scmomer"):
        read = read_response(table, groups=pd.Series({"q": "CCO", "p": "CCO", "unused": "C"}))
    assert read.drugs.tolist() == ["p", "r"] and read.n_duplicates == 1
    np.testing.assert_array_equal(read.values, [[2, -5], [7, np.nan]])
    assert "1 names of drugs are those of another ('q')" in caplog.text
    alone = read_response(table, groups={"p": "CCO", "q": None, "r": np.nan})
    assert alone.drugs.tolist() == ["p", "q", "r"]
    with pytest.raises(ValueError, match="each drug once in groups, found 'p' twice"):
        read_response(table, groups=pd.Series(["C", "CC"], index=["p", "p"]))


def test_incomplete_rows_are_left_out_and_counted(caplog):
    table = pd.DataFrame(
        {
            "cell_line": ["A", "B", "", "A", "B", "A", "B"],
            "drug": ["x", "x", "x", "None", "y", "y", "z"],
            "ln_ic50": [1.0, -1.0, 2.0, 3.0, np.nan, np.inf, 4.0],
        }
    )
    with pytest.warns(UserWarning, match="4 of 7 rows of response are left out: 1 with no line"):
        read = read_response(table)
    assert read.frame.stack().dropna().to_dict() == {("A", "x"): 1, ("B", "x"): -1, ("B", "z"): 4}
    with caplog.at_level("INFO", logger="scmomer"):
        read_response(pd.concat([table, *[table[:2]] * 3]))
    assert "1 with no drug, 1 with no value, 1 with an infinite value" in caplog.text
    with pytest.raises(ValueError, match=r"finite value in response, found none \(.*2 with no val"):
        read_response(table.assign(ln_ic50=np.nan)[:2])


def test_tissues_are_those_of_lines(caplog):
    table = pd.DataFrame(
        {
            "CELL_LINE_NAME": ["A", "B", "A", "C"],
            "DRUG_NAME": ["x", "x", "y", "x"],
            "LN_IC50": [1.0, -1, 2, 0],
            "TCGA_DESC": ["LUAD", "UNCLASSIFIED", None, "SKCM"],
        }
    )
    with caplog.at_level("INFO", logger="scmomer"):
        read = read_response(table)
    assert read.tissues.tolist() == ["LUAD", None, "SKCM"]
    assert "1 of 3 cell lines have no tissue" in caplog.text
    table.loc[2, "TCGA_DESC"] = "BRCA"
    message = r"one tissue for each cell line, found \['LUAD', 'BRCA'\] for 'A'.*tissue_key="
    with pytest.raises(ValueError, match=message):
        read_response(table)


def test_units_that_no_name_says_are_in_the_log(caplog):
    table = pd.DataFrame({"line": ["A", "B"], "drug": ["x", "x"], "response": [1.0, -1]})
    with caplog.at_level("INFO", logger="scmomer"):
        read_response(table)
    assert "'response' as ln_um (say otherwise by units=)" in caplog.text
