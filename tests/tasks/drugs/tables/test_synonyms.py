"""Names of drugs: as they are, plain, by synonyms."""

from __future__ import annotations

import pandas as pd
import pytest

from scmomer.tasks.drugs import drug_keys, match_drug_names
from scmomer.tasks.drugs.tables._synonyms import _built_in, plain_name


@pytest.mark.parametrize(
    ("name", "plain"),
    [("PLX-4720", "plx4720"), ("YK 4-279", "yk4279"), ("(+)-JQ1", "jq1"), ("---", "---")],
)
def test_plain_names(name, plain):
    assert plain_name(name) == plain


def test_enantiomers_differ():
    assert len({plain_name(name) for name in ("JQ1", "(-)-JQ1", "(\N{MINUS SIGN})-JQ1")}) == 2


def test_steps_in_turn(caplog):
    known = ["Erlotinib", "PLX4720", "AZD6244", "17-AAG", "other"]
    wanted = ["erlotinib", "PLX-4720", "Selumetinib", "Tanespimycin", "unknown", "other"]
    with caplog.at_level("INFO", logger="scmomer"):
        found = match_drug_names(wanted, known)
    assert found.to_dict() == dict(
        zip(wanted, ["Erlotinib", "PLX4720", "AZD6244", "17-AAG", None, "other"], strict=True)
    )
    assert (
        "5 of 6 names of drugs match: 1 as they are, 2 without case and punctuation, 2 by "
        "synonyms; 1 are left, such as 'unknown'"
    ) in caplog.text


def test_synonyms_in_any_direction_and_through_a_third_name():
    found = match_drug_names(["BEZ235", "NVP-BEZ235", "dactolisib"], ["Dactolisib"])
    assert found.tolist() == ["Dactolisib"] * 3
    assert match_drug_names(["BEZ235"], ["NVP-BEZ235"]).tolist() == ["NVP-BEZ235"]
    own = {"compound 7": "Dactolisib"}
    assert match_drug_names(["BEZ-235"], ["Compound-7"], own).tolist() == ["Compound-7"]
    table = pd.DataFrame({"a": ["compound 7", None], "b": ["Dactolisib", "x"]})
    assert match_drug_names(["BEZ-235"], ["Compound-7"], table).tolist() == ["Compound-7"]


def test_exact_names_go_first():
    known = ["PLX4720", "PLX-4720"]
    assert match_drug_names(["PLX-4720", "PLX4720"], known).tolist() == ["PLX-4720", "PLX4720"]


def test_several_known_names_are_refused_and_the_remedy_works():
    known = ["GDC0941", "GDC0941 (rescreen)"]
    with pytest.raises(
        ValueError, match="one known name for the drug 'Pictilisib', found"
    ) as error:
        match_drug_names(["Pictilisib"], known)
    synonyms = eval(str(error.value).split("synonyms=")[1].rstrip("."))
    assert match_drug_names(["Pictilisib"], known, synonyms).tolist() == ["GDC0941"]
    with pytest.raises(ValueError, match=r"found \['PLX-4720', 'PLX 4720'\]"):
        match_drug_names(["plx4720"], ["PLX-4720", "PLX 4720"])


def test_several_known_names_of_one_molecule_are_no_error():
    known, wanted = ["GDC0941", "GDC0941 (rescreen)", "x"], ["Pictilisib", "X"]
    one = dict.fromkeys(known, "CC") | {"x": "CO"}
    assert match_drug_names(wanted, known, groups=one).tolist() == ["GDC0941", "x"]
    for groups in (one | {"GDC0941": "CN"}, {"GDC0941": "CC"}):
        with pytest.raises(ValueError, match="one known name for the drug 'Pictilisib'"):
            match_drug_names(wanted, known, groups=groups)


def test_keys_of_screens_and_lists_of_names():
    names = ["PLX4720", "PLX4720 (rescreen)", "Bleomycin", "Bleomycin (50 uM)", "ZD4054"]
    names += ["Zibotentan, ZD4054", "ICI 182,780", "Fulvestrant", "x"]
    keys = drug_keys(names)
    assert keys[0] == keys[1] and keys[2] == keys[3] and keys[4] == keys[5] and keys[6] == keys[7]
    assert len(set(keys)) == 5


def test_the_built_in_table_names_each_drug_once():
    pairs = _built_in()
    assert len(pairs) > 120
    names = {name for name, _ in pairs}
    others = [plain_name(other) for _, other in pairs]
    # Else two drugs would become one through a name that both have.
    assert len({(o, n) for (n, _), o in zip(pairs, others, strict=True)}) == len(set(others))
    assert not {plain_name(n) for n in names} & set(others)
    assert len({plain_name(n) for n in names}) == len(names)
    assert len(set(drug_keys(sorted(names)))) == len(names)


def test_what_are_no_synonyms():
    with pytest.raises(TypeError, match="synonyms to be a mapping .* found list"):
        match_drug_names(["a"], ["b"], [("a", "b")])
    with pytest.raises(TypeError, match=r"DataFrame of shape \(1, 3\)"):
        match_drug_names(["a"], ["b"], pd.DataFrame([["a", "b", "c"]]))
