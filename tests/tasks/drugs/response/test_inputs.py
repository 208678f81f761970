from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.drugs import read_molecules, read_response
from scmomer.tasks.drugs.response._inputs import read_query_drugs, read_training

pytest.importorskip("rdkit")


def read(screen, response=None, cells=None, drugs=None, **columns):
    return read_training(
        screen.response if response is None else response,
        screen.cells if cells is None else cells,
        screen.drugs if drugs is None else drugs,
        "raise",
        columns,
    )


def test_everything_is_in_one_order(screen):
    cells = screen.cells[::-1]
    found = read(screen, cells=cells, drugs=screen.drugs[::-1])
    assert found.lines.tolist() == screen.cells.obs_names.tolist()
    assert cells.obs_names[found.rows].tolist() == found.lines.tolist()
    np.testing.assert_allclose(found.values, screen.values[found.molecules.names])
    alone = read_molecules(screen.drugs[found.molecules.names])
    np.testing.assert_array_equal(found.molecules.smiles, alone.smiles)


def test_lines_are_named_as_in_the_profiles(screen):
    response = screen.response.assign(
        cell_line=screen.response["cell_line"].str.upper().str.replace(" ", "-")
    )
    assert read(screen, response).lines.tolist() == screen.cells.obs_names.tolist()


def test_lines_and_drugs_without_a_match_are_named(screen):
    with pytest.warns(UserWarning) as caught:
        found = read(screen, cells=screen.cells[2:], drugs=screen.drugs.iloc[1:])
    texts = [str(w.message) for w in caught]
    assert any(
        "1 of 12 drugs" in t and "no SMILES" in t and screen.drugs.index[0] in t for t in texts
    )
    assert any("2 of 100 cell lines" in t and "no profile" in t for t in texts)
    assert found.values.shape == (98, 11)


def test_a_molecule_with_two_names_is_one_drug(screen):
    name = screen.drugs.index[0]
    other = screen.response[screen.response["drug"] == name].assign(drug="alias")
    other["ln_ic50"] += 1.0
    drugs = pd.concat([screen.drugs, pd.Series({"alias": screen.drugs[name]})])
    both = pd.concat([screen.response, other])
    found = read(screen, both, drugs=drugs)
    table = read(screen, read_response(both), drugs=drugs)
    for made in (found, table):
        assert made.values.shape == (100, 12)
        column = made.molecules.names.get_loc(name)
        np.testing.assert_allclose(made.values[:, column], screen.values[name] + 0.5)


def test_a_response_table_may_be_passed(screen, refuses):
    table = read_response(screen.response)
    np.testing.assert_array_equal(read(screen, table).values, read(screen).values)
    with refuses(ValueError, "no units=", "ResponseTable", "read_response"):
        read(screen, table, units="auc", line_key=None)
    twice = replace(table, drugs=table.drugs[[0, *range(11)]])
    with refuses(ValueError, "unique names in response.drugs", "Average or rename"):
        read(screen, twice)


def test_names_that_are_numbers(screen):
    code = {name: 1000 + i for i, name in enumerate(screen.drugs.index)}
    response = screen.response.assign(drug=screen.response["drug"].map(code))
    drugs = screen.drugs.rename(code)
    found = read(screen, response, drugs=drugs)
    assert found.molecules.names.tolist() == [str(code[n]) for n in screen.drugs.index]
    table = read_response(response)
    table = replace(table, drugs=table.drugs.astype(int))
    assert read(screen, table, drugs=drugs).molecules.names.equals(found.molecules.names)
    assert read_query_drugs([1003], found.molecules, "raise").names.tolist() == ["1003"]
    assert read_query_drugs({7: "CCO"}, found.molecules, "raise").names.tolist() == ["7"]


def test_too_little(screen, refuses):
    with refuses(ValueError, "at least 10 cell lines", "found 9 and 12"):
        read(screen, screen.of(slice(9)))
    one = screen.response[screen.response["drug"] == screen.values.mean().idxmax()]
    with refuses(ValueError, "at least 2 drugs", " and 1."):
        read(screen, one)
    with refuses(ValueError, "responses that differ", "found 3 alone", "value_key="):
        read(screen, screen.response.assign(ln_ic50=3.0))
    with (
        pytest.warns(UserWarning, match="12 of 12 drugs"),
        refuses(ValueError, "SMILES of the drugs of the response", "Pass SMILES by these names"),
    ):
        read(screen, drugs=pd.Series({"unheard of": "CCO", "of too": "CCC"}))


def test_profiles_named_twice(screen, refuses):
    cells = screen.cells.copy()
    cells.obs_names = ["line 1", *cells.obs_names[1:]]
    with refuses(ValueError, "one profile for each cell line", "line 1", "average them"):
        read(screen, cells=cells)


@pytest.fixture(scope="module")
def training(screen):
    return read_molecules(screen.drugs)


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Index, pd.Series])
def test_names_of_training_drugs(training, kind):
    wanted = training.names[[3, 1]].tolist()
    found = read_query_drugs(kind(wanted), training, "raise")
    assert found.names.tolist() == wanted
    np.testing.assert_array_equal(found.smiles, training.smiles[[3, 1]])


def test_repeated_names_count_once(training):
    name = training.names[2]
    assert read_query_drugs([name, name], training, "raise").names.tolist() == [name]
    assert read_query_drugs(name, training, "raise").names.tolist() == [name]
    assert read_query_drugs(None, training, "raise") is training


def test_new_drugs(training):
    found = read_query_drugs({"ethanol": "CCO"}, training, "raise")
    assert found.smiles.tolist() == ["CCO"]
    table = pd.DataFrame({"drug": ["ethanol"], "smiles": ["OCC"]})
    assert read_query_drugs(table, training, "raise").smiles.tolist() == ["CCO"]


def test_the_name_of_a_training_drug_with_another_molecule(training, refuses):
    name, smiles = training.names[1], training.smiles[1]
    assert read_query_drugs({name: smiles}, training, "raise").smiles.tolist() == [smiles]
    with refuses(
        ValueError, f"SMILES of training for the drug '{name}' ({smiles})", "CCO", "Rename"
    ):
        read_query_drugs({"new": "CCC", name: "CCO"}, training, "raise")


@pytest.mark.parametrize("kind", [list, pd.Series])
def test_smiles_without_names(training, kind, refuses):
    with refuses(ValueError, "SMILES without names", "drugs={'a name': 'CC(=O)O'}"):
        read_query_drugs(kind(["CC(=O)O", "c1ccccc1N"]), training, "raise")


def test_wrong_query_drugs(training, refuses):
    with refuses(ValueError, "names of training drugs", "'ethanol'", "{'ethanol': 'its SMILES'}"):
        read_query_drugs([training.names[0], "ethanol"], training, "raise")
    for nothing in ([], {}, pd.Series(dtype=object)):
        with refuses(ValueError, "at least one drug", "none"):
            read_query_drugs(nothing, training, "raise")
    with refuses(ValueError, "SMILES that rdkit can read", "'bad'"):
        read_query_drugs({"bad": "C(((", "good": "C"}, training, "raise")
    with pytest.warns(UserWarning, match="bad"):
        found = read_query_drugs({"bad": "C(((", "good": "C"}, training, "skip")
    assert found.names.tolist() == ["good"]


def test_two_names_of_the_molecule_of_a_drug_are_no_doubt(screen):
    first = screen.drugs.index[0]
    twice = screen.drugs.rename({first: first.lower()})
    twice[first.lower() + "-"] = screen.drugs[first]
    response = screen.response.replace({"drug": {first: first.lower() + "."}})
    found = read(screen, response, drugs=twice)
    np.testing.assert_allclose(found.values, screen.values[screen.drugs.index])
