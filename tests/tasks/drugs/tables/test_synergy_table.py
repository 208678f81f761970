"""Tables of synergy: pairs without order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.drugs import read_synergy


def as_dict(table):
    return dict(zip(table.pairs, table.value, strict=True))


def test_rows_and_codes(synergy):
    table = read_synergy(synergy)
    assert (table.drug_a < table.drug_b).all() and table.n_duplicates == 0
    assert table.drug_a.shape == table.line.shape == table.value.shape == table.fold.shape
    expected = synergy.set_index(["cell_line", "drug_a", "drug_b"])["synergy"].to_dict()
    assert as_dict(table) == expected
    assert len(np.unique(table.pair)) == 28


def test_order_of_drugs_does_not_matter(synergy):
    swap = np.random.default_rng(1).random(len(synergy)) < 0.5
    swapped = synergy.copy()
    swapped.loc[swap, ["drug_a", "drug_b"]] = synergy.loc[swap, ["drug_b", "drug_a"]].to_numpy()
    assert as_dict(read_synergy(swapped)) == as_dict(read_synergy(synergy))


def test_repeats_in_either_order_are_averaged(synergy, caplog):
    other = synergy.iloc[:7].rename(columns={"drug_a": "drug_b", "drug_b": "drug_a"})
    other = other.assign(synergy=other["synergy"] + 2)
    with caplog.at_level("INFO", logger="scmomer"):
        table = read_synergy(pd.concat([synergy, other]))
    assert table.n_duplicates == 7 and len(table.value) == len(synergy)
    first = synergy.iloc[0]
    key = first["cell_line"], first["drug_a"], first["drug_b"]
    assert as_dict(table)[key] == pytest.approx(first["synergy"] + 1)
    assert "7 repeated rows of a pair (in either order) and line are averaged" in caplog.text


def test_a_drug_with_itself_is_left_out(synergy, caplog):
    itself = synergy.iloc[:3].assign(drug_b=synergy["drug_a"])
    with caplog.at_level("INFO", logger="scmomer"):
        assert as_dict(read_synergy(pd.concat([synergy, itself]))) == as_dict(read_synergy(synergy))
    assert "3 rows of a drug with itself" in caplog.text
    with pytest.raises(ValueError, match="pairs of different drugs in synergy, found none"):
        read_synergy(itself)
    # drug 0 and drug 1 are one molecule: their pair is of a drug with itself, too.
    groups = {"drug 0": "C", "drug 1": "C"}
    table = read_synergy(synergy.drop(columns="fold"), groups=groups)
    assert len(table.drugs) == 7 and len(np.unique(table.pair)) == 21


def test_repeats_in_two_folds_are_refused(synergy):
    other = synergy.iloc[:1].assign(fold=synergy["fold"] + 1)
    message = r"in one fold, found 1 in several, such as 'drug 0' and 'drug 1' in 'line 0'"
    with pytest.raises(ValueError, match=message):
        read_synergy(pd.concat([synergy, other]))
    with pytest.raises(ValueError, match="in one fold"):  # two names, one pair of molecules
        read_synergy(synergy, groups={"drug 0": "C", "drug 1": "C"})
    missing = synergy.astype({"fold": float})
    missing.loc[:4, "fold"] = np.nan
    with pytest.raises(ValueError, match="fold for each row .*found 5 without") as error:
        read_synergy(missing)
    names = {"synergy": missing}
    exec(str(error.value).split("`")[1], names)
    assert read_synergy(names["synergy"]).fold is None


def test_folds_keep_their_numbers_and_names_are_ranked(synergy):
    numbers = read_synergy(synergy.assign(fold=synergy["fold"] * 10.0)).fold
    assert set(numbers) == {0, 10, 20, 30, 40}
    named = read_synergy(synergy.assign(fold=np.where(synergy["fold"] > 2, "train", "test"))).fold
    assert set(named) == {0, 1}


@pytest.mark.parametrize(
    "names",
    [
        ("drug_a_name", "drug_b_name", "cell_line", "synergy"),
        ("drug_row", "drug_col", "cell_line_name", "synergy_loewe"),
    ],
)
def test_columns_of_published_tables(synergy, names):
    usual = dict(zip(["drug_a", "drug_b", "cell_line", "synergy"], names, strict=True))
    assert as_dict(read_synergy(synergy.rename(columns=usual))) == as_dict(read_synergy(synergy))


def test_wrong_tables(synergy):
    with pytest.raises(KeyError, match=r"column 'drug_b' in synergy.*Pass its name as drug_b_key="):
        read_synergy(synergy.drop(columns="drug_b"))
    with pytest.raises(TypeError, match="synergy to be a DataFrame"):
        read_synergy(synergy.to_dict())
    with pytest.raises(ValueError, match=r"synergy\['synergy'\], found text in 168 rows: 'high'"):
        read_synergy(synergy.assign(synergy="high"))
    some = synergy.assign(synergy=synergy["synergy"].where(synergy.index > 9))
    assert len(read_synergy(some).value) == len(synergy) - 10
