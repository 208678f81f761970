from __future__ import annotations

import logging
import sys

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.drugs import read_molecules

pytest.importorskip("rdkit")
from rdkit import Chem, DataStructs
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
IMATINIB = "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"
DRUGS = {
    "aspirin": ASPIRIN,
    "imatinib": IMATINIB,
    "bortezomib": "B(C(CC(C)C)NC(=O)C(CC1=CC=CC=C1)NC(=O)C2=NC=CN=C2)(O)O",
    "vorinostat": "C1=CC=C(C=C1)NC(=O)CCCCCCC(=O)NO",
    "lapatinib": "CS(=O)(=O)CCNCc1ccc(o1)-c1ccc2ncnc(Nc3ccc(OCc4cccc(F)c4)c(Cl)c3)c2c1",
}


def canonical(smiles: str) -> str:
    return Chem.MolToSmiles(Chem.MolFromSmiles(smiles))


def test_molecules_keep_the_names_and_their_order():
    molecules = read_molecules(DRUGS)
    assert molecules.names.tolist() == list(DRUGS)
    assert molecules.smiles.tolist() == [canonical(x) for x in DRUGS.values()]
    assert len(molecules) == molecules.n_groups == 5
    assert molecules.n_salts == 0 and not len(molecules.skipped)
    assert molecules.fingerprints.shape == (5, 2048)
    assert molecules.fingerprints.dtype == np.uint8 and molecules.fingerprints.max() == 1
    assert repr(molecules) == "Molecules: 5 drugs, 5 molecules"


def test_similarity_is_that_of_rdkit():
    molecules = read_molecules(DRUGS)
    make = GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint
    prints = [make(Chem.MolFromSmiles(x)) for x in DRUGS.values()]
    expected = [DataStructs.BulkTanimotoSimilarity(x, prints) for x in prints]
    np.testing.assert_allclose(molecules.tanimoto(molecules), expected, atol=1e-15)
    two = molecules.take(["vorinostat", "aspirin"])
    np.testing.assert_allclose(two.tanimoto(molecules), np.array(expected)[[3, 0]], atol=1e-15)


def test_without_bits_nothing_is_similar():
    hydrogen = pytest.warns(UserWarning, match="no carbon")
    with hydrogen:
        molecules = read_molecules({"hydrogen": "[H][H]", "methane": "C"})
    molecules.fingerprints[0] = 0
    assert molecules.tanimoto(molecules).tolist() == [[0, 0], [0, 1]]


def test_any_way_to_write_a_molecule_is_the_same():
    ways = {
        f"{name} {i}": Chem.MolToSmiles(Chem.MolFromSmiles(smiles), doRandom=True)
        for name, smiles in DRUGS.items()
        for i in range(8)
    }
    assert len(set(ways.values())) > 30
    molecules = read_molecules(ways)
    assert (
        molecules.smiles.tolist() == np.repeat([canonical(x) for x in DRUGS.values()], 8).tolist()
    )
    assert molecules.n_groups == 5
    first = molecules.group[::8]
    assert molecules.group.tolist() == np.repeat(first, 8).tolist()
    other = read_molecules(dict(reversed(ways.items())))
    assert other.group.tolist() == molecules.group[::-1].tolist()


@pytest.mark.parametrize(
    ("given", "parent", "removed"),
    [
        ("CC(=O)Oc1ccccc1C(=O)[O-].[Na+]", ASPIRIN, "[Na+]"),
        ("Cl.Cl." + IMATINIB, IMATINIB, "Cl.Cl"),
        (IMATINIB + ".CS(=O)(=O)O", IMATINIB, "CS(=O)(=O)O"),
        ("[O-]C(=O)c1ccccc1OC(C)=O.O.O.[Ca+2].[O-]C(=O)c1ccccc1OC(C)=O", ASPIRIN, None),
        ("C[NH2+]CC(=O)[O-]", "CNCC(=O)O", ""),
        ("C#N.OS(=O)(=O)OS(=O)(=O)O", "C#N", "O=S(=O)(O)OS(=O)(=O)O"),  # larger, not organic
        # A permanent charge stays.
        ("Cc1n(CCOC)c2C(=O)c3ccccc3C(=O)c2[n+]1Cc1cnccn1.[Br-]", None, "[Br-]"),
        ("C[N+](=O)[O-]", "C[N+](=O)[O-]", ""),
    ],
)
def test_salts_are_their_parent(given, parent, removed):
    molecules = read_molecules({"salt": given, **DRUGS})
    if parent is not None:
        assert molecules.smiles[0] == canonical(parent)
    if removed is not None:
        assert molecules.removed[0] == removed
    assert "." not in molecules.smiles[0]
    assert molecules.n_salts == (removed != "")


@pytest.mark.parametrize(
    "smiles",
    [
        "C1CCC(C(C1)[NH-])[NH-].C(=O)(C(=O)[O-])[O-].[Pt+4]",
        "NC1CCCCC1N.O=C(O)C(=O)O.[Pt+2]",
        "N.N.O=C(O)C1(C(=O)O)CCC1.[Pt]",
    ],
)
def test_complexes_keep_their_metal(smiles, caplog):
    with caplog.at_level(logging.INFO):
        molecules = read_molecules({"platinum": smiles})
    assert "Pt" in molecules.smiles[0] and molecules.smiles[0].count(".") == smiles.count(".")
    assert molecules.removed.tolist() == [""]
    assert "Complexes kept whole: 1 (platinum: " in caplog.text


def test_two_drugs_in_one_smiles_are_warned_of(recwarn):
    imatinib, ibuprofen = DRUGS["imatinib"], "CC(C)Cc1ccc(cc1)C(C)C(=O)O"
    read_molecules({"mesylate": f"{imatinib}.CS(=O)(=O)O", "acid": f"{imatinib}.{ibuprofen}"})
    assert not [w for w in recwarn if "two large" in str(w.message)]  # 15 atoms at most
    caffeine = "CN1C=NC2=C1C(=O)N(C(=O)N2C)CCCC"
    with pytest.warns(UserWarning, match=r"1 of 6 SMILES have two large .*'both': .*each by itse"):
        read_molecules({"both": f"{imatinib}.{caffeine}", **DRUGS})


def test_bonds_of_a_metal_are_not_broken():
    with pytest.warns(UserWarning, match=r"1 of 2 molecules have no carbon \('cisplatin'\)"):
        molecules = read_molecules({"cisplatin": "[NH3][Pt]([NH3])(Cl)Cl", "aspirin": ASPIRIN})
    assert molecules.smiles[0].count("N") == 2 and "Pt" in molecules.smiles[0]


def test_parents_are_their_own_parents():
    molecules = read_molecules({**DRUGS, "salt": "C[NH3+].[Cl-]", "pt": "NCCN.[Pt+2].[Cl-].[Cl-]"})
    again = read_molecules(pd.Series(molecules.smiles, molecules.names))
    assert again.smiles.tolist() == molecules.smiles.tolist()
    assert again.n_salts == 0


def test_the_log_names_salts_and_synonyms(caplog):
    with caplog.at_level(logging.INFO):
        molecules = read_molecules(
            {**DRUGS, "aspirin sodium": DRUGS["aspirin"][:-1] + "[O-].[Na+]"}
        )
    assert "Stripped of salts: 1 (aspirin sodium: [Na+])." in caplog.text
    assert "Molecules with several names: 1 (aspirin = aspirin sodium)." in caplog.text
    assert len(molecules) == 6 and molecules.n_groups == 5
    assert molecules.group[0] == molecules.group[5]


# -- what a user may pass


@pytest.mark.parametrize(
    "drugs",
    [
        pd.Series(DRUGS),
        pd.Series(DRUGS).rename_axis("drug").reset_index(name="smiles"),
        pd.DataFrame({"n": 0, "Canonical_SMILES": DRUGS}),
        pd.DataFrame({"SMILES": DRUGS.values(), "Drug_Name": DRUGS.keys()}),
        {f" {name} ": smiles for name, smiles in DRUGS.items()},
    ],
    ids=["series", "table", "index", "columns", "spaces"],
)
def test_names_and_smiles_in_any_form(drugs):
    before = drugs.copy()
    molecules = read_molecules(drugs)
    assert molecules.names.tolist() == list(DRUGS)
    assert molecules.smiles.tolist() == [canonical(x) for x in DRUGS.values()]
    assert before.equals(drugs) if hasattr(drugs, "equals") else before == drugs


def test_numbers_are_names():
    assert read_molecules({2244.0: ASPIRIN, 5: "C"}).names.tolist() == ["2244", "5"]


@pytest.mark.parametrize("columns", [["a", "b"], ["smiles", "b"], ["drug", "b"]])
def test_a_table_without_its_columns(columns, refuses):
    table = pd.DataFrame([["x", "C"]], columns=columns)
    with refuses(
        ValueError, "column of SMILES", str(columns), "`table.set_index('drug')['smiles']`"
    ):
        read_molecules(table)


def test_a_table_with_two_columns_of_names(refuses):
    table = pd.DataFrame({"drug_id": [1], "drug_name": ["x"], "smiles": ["C"]})
    with refuses(ValueError, "one of names", "['drug_id', 'drug_name']"):
        read_molecules(table)


def test_other_types_and_nothing(refuses):
    with refuses(TypeError, "found list", "`pd.Series(smiles, index=names)`"):
        read_molecules([ASPIRIN])
    with refuses(ValueError, "at least one drug", "found none"):
        read_molecules({})
    with refuses(ValueError, "a name for each of 2 drugs", "found 1 without"):
        read_molecules({"aspirin": ASPIRIN, float("nan"): "C"})
    with refuses(ValueError, "'raise' or 'skip'", "'drop'"):
        read_molecules(DRUGS, on_invalid="drop")


# -- SMILES that cannot be read

INVALID = {"x": "C1CC", "none": "None", "nan": float("nan"), "empty": " ", "null": None, "q": "QQ"}


def test_unreadable_smiles_are_named(refuses):
    with refuses(
        ValueError,
        "found others in 6 of 11 drugs: 'x' ('C1CC'), 'none' (missing), 'nan' (missing), "
        "'empty' (missing), 'null' (missing) and 1 more",
        "on_invalid='skip'",
    ):
        read_molecules({**DRUGS, **INVALID})


def test_unreadable_smiles_can_be_skipped():
    with pytest.warns(UserWarning, match=r"Left out .*: 6 of 11 drugs: 'x' \('C1CC'\)"):
        molecules = read_molecules({**INVALID, **DRUGS}, on_invalid="skip")
    assert molecules.names.tolist() == list(DRUGS)
    assert molecules.skipped.index.tolist() == list(INVALID)
    assert molecules.skipped["x"] == "C1CC"
    np.testing.assert_array_equal(molecules.fingerprints, read_molecules(DRUGS).fingerprints)


@pytest.mark.parametrize("on_invalid", ["raise", "skip"])
def test_names_and_smiles_exchanged(on_invalid, refuses):
    with refuses(ValueError, "5 of 5 drugs", "Pass names as index and SMILES as values"):
        read_molecules({y: x for x, y in DRUGS.items()}, on_invalid=on_invalid)


@pytest.mark.parametrize("smiles", ["C1CC", "F(F)(F)F", "c1ccc1c"])
def test_rdkit_itself_says_nothing(smiles, capfd):
    with pytest.warns(UserWarning, match="Left out"):
        read_molecules({"x": smiles, "salt": "CC[NH3+].[Cl-]"}, on_invalid="skip")
    assert not [line for line in capfd.readouterr().err.splitlines() if "scmomer" not in line]


# -- names that occur twice


def test_a_name_with_two_molecules(refuses):
    drugs = pd.Series(["CC", "C", "CCC", "C(C)"], index=["a", "b", "a", "a"])
    with refuses(ValueError, "found 1 names", "'a' (CC, CCC)", "Rename them"):
        read_molecules(drugs)


def test_a_name_with_one_molecule_twice(caplog):
    drugs = pd.Series(["CCO", "C", "OCC", "CO"], index=["a", "b", "a", "c"])
    with caplog.at_level(logging.INFO):
        molecules = read_molecules(drugs)
    assert molecules.names.tolist() == ["a", "b", "c"]
    assert molecules.smiles.tolist() == ["CCO", "C", "CO"]
    assert "1 rows repeat a name and its molecule" in caplog.text


# -- molecules that models are not made for


def test_large_molecules():
    with pytest.warns(UserWarning, match=r"1 of 2 .* more than 200 heavy atoms \('polymer'\)"):
        read_molecules({"polymer": "C" * 201, "long": "C" * 200})


def test_stereoisomers_are_told_apart():
    drugs = {"l": "N[C@@H](C)C(=O)O", "d": "N[C@H](C)C(=O)O", "other": "CC"}
    with pytest.warns(UserWarning, match=r"2 of 3 drugs .* stereochemistry alone \('l', 'd'\)"):
        molecules = read_molecules(drugs)
    assert molecules.n_groups == 3
    assert molecules.tanimoto(molecules)[0, 1] == 1


# -- parts, and rdkit


def test_some_of_the_molecules(refuses):
    molecules = read_molecules({**DRUGS, "salt": "CN.Cl"})
    some = molecules.take(["salt", "imatinib"])
    assert some.names.tolist() == ["salt", "imatinib"] and some.removed.tolist() == ["Cl", ""]
    assert some.group.tolist() == molecules.group[[5, 1]].tolist()
    with refuses(KeyError, "found 2 others: 'x', 'y'", "read_molecules"):
        molecules.take(["aspirin", "x", "y"])


def test_without_rdkit_it_says_how_to_install_it(monkeypatch, refuses):
    for name in [name for name in sys.modules if name.partition(".")[0] == "rdkit"]:
        monkeypatch.setitem(sys.modules, name, None)
    with refuses(ModuleNotFoundError, "rdkit is not installed", "pip install 'scmomer[drug]'"):
        read_molecules(DRUGS)
