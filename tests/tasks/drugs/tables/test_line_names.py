"""Names of cell lines: plain forms, doubtful ones, systems of ids."""

from __future__ import annotations

import warnings

import pytest

from scmomer.tasks.drugs import match_line_names


@pytest.mark.parametrize("name", ["HT-29", "HT29", "ht29", "Ht 29"])
def test_spelling(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = match_line_names([name, "MCF7"], ["A549", "HT-29", "MCF-7"])
    assert found.to_dict() == {name: "HT-29", "MCF7": "MCF-7"}


def test_lines_that_differ_in_punctuation_only_match_as_they_are():
    both = ["TT", "T-T", "A549"]
    assert match_line_names(both, both).tolist() == both
    with pytest.warns(
        UserWarning, match="1 names of cell lines are left .* 'T T' may be 'TT', 'T-T'"
    ):
        assert match_line_names(["T T", "A549"], both).tolist() == [None, "A549"]
    with pytest.warns(UserWarning, match="2 names of cell lines are left"):
        assert match_line_names(["TT", "T-T", "A549"], ["T.T", "A549"]).tolist() == [
            None,
            None,
            "A549",
        ]
    # The known TT is that of the wanted TT, and no other's.
    assert match_line_names(["TT", "T-T"], ["TT"]).tolist() == ["TT", None]


def test_counts_are_logged(caplog):
    with caplog.at_level("INFO", logger="scmomer"):
        match_line_names(["A549", "HT29", "PC9"], ["A549", "HT-29"])
    assert (
        "2 of 3 cell lines match: 1 as they are, 1 without case and punctuation; 1 are left, such "
        "as 'PC9'" in caplog.text
    )


@pytest.mark.parametrize(
    ("wanted", "known", "message"),
    [
        (["ACH-000001", "ACH-000002"], ["905954"], r"DepMap ids.*'ACH-000001'.* and COSMIC ids"),
        (["HT-29"], ["CVCL_0320"], "found names .* and Cellosaurus ids"),
        (["SIDM00136"], ["HT29_LARGE_INTESTINE"], "found Sanger ids .* and CCLE names"),
    ],
)
def test_other_ids_are_not_guessed(wanted, known, message):
    with pytest.raises(ValueError, match=message + r".*none match. Rename one side by a table"):
        match_line_names(wanted, known)


def test_no_common_line_and_nothing():
    with pytest.raises(ValueError, match="Pass tables of the same cell lines"):
        match_line_names(["HT-29"], ["A549"])
    with pytest.raises(ValueError, match="none match"):
        match_line_names(["HT-29"], [])


def test_zeros_in_front_are_said():
    with pytest.raises(ValueError, match=r"'01000'.* and '1000'.*zeros in front.*zfill"):
        match_line_names(["01000", "0905954"], ["1000", "905954"])
    with pytest.raises(ValueError, match="none match. Pass tables"):
        match_line_names(["1000", "0"], ["2000", "00"])
