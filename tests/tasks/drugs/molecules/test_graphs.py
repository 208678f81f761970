from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from scmomer.tasks.drugs import molecule_graphs

pytest.importorskip("rdkit")
from rdkit import Chem

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
SMILES = [ASPIRIN, "C", "CCO", "C1CCC(C(C1)[NH-])[NH-].C(=O)(C(=O)[O-])[O-].[Pt+4]", "C#N"]
# First column of each block of features.
SYMBOL, DEGREE, VALENCE, CHARGE, RADICALS, HYBRID, AROMATIC, HYDROGENS = (
    0,
    44,
    55,
    62,
    63,
    64,
    69,
    70,
)


def hot(features: torch.Tensor) -> dict[int, float]:
    """Columns that are not 0, with their values."""
    return {i: x for i, x in enumerate(features.tolist()) if x}


def test_aspirin_has_thirteen_atoms_and_bonds_in_both_directions():
    graphs = molecule_graphs([ASPIRIN])
    assert graphs.atoms.shape == (13, 75) and graphs.atoms.dtype == torch.float32
    assert graphs.edges.shape == (2, 26) and graphs.edges.dtype == torch.int64
    assert graphs.molecule.tolist() == [0] * 13
    assert len(graphs) == 1 and repr(graphs) == "MoleculeGraphs: 1 molecules, 13 atoms on cpu"
    there = {tuple(x) for x in graphs.edges.T.tolist()}
    assert len(there) == 26 and there == {(b, a) for a, b in there}
    bonds = Chem.MolFromSmiles(ASPIRIN).GetBonds()
    assert {(x.GetBeginAtomIdx(), x.GetEndAtomIdx()) for x in bonds} < there


@pytest.mark.parametrize(
    ("smiles", "atom", "expected"),
    [
        ("CCO", 0, {SYMBOL: 1, DEGREE + 1: 1, VALENCE + 3: 1, HYBRID + 2: 1, HYDROGENS + 3: 1}),
        ("CCO", 2, {SYMBOL + 2: 1, DEGREE + 1: 1, VALENCE + 1: 1, HYBRID + 2: 1, HYDROGENS + 1: 1}),
        ("C", 0, {SYMBOL: 1, DEGREE: 1, VALENCE + 4: 1, HYBRID + 2: 1, HYDROGENS + 4: 1}),
        ("C#N", 1, {SYMBOL + 1: 1, DEGREE + 1: 1, VALENCE: 1, HYBRID: 1, HYDROGENS: 1}),
        (
            "c1ccccc1",
            0,
            {
                **{SYMBOL: 1, DEGREE + 2: 1, VALENCE + 1: 1, HYBRID + 1: 1},
                **{AROMATIC: 1, HYDROGENS + 1: 1},
            },
        ),
        (
            "[O-]C",
            0,
            {
                **{SYMBOL + 2: 1, DEGREE + 1: 1, VALENCE: 1, CHARGE: -1},
                **{HYBRID + 2: 1, HYDROGENS: 1},
            },
        ),
        (
            "[CH3]",
            0,
            {
                **{SYMBOL: 1, DEGREE: 1, VALENCE: 1, RADICALS: 1},
                **{HYBRID + 2: 1, HYDROGENS + 3: 1},
            },
        ),
    ],
    ids=["methyl", "hydroxyl", "methane", "nitrile", "benzene", "oxide", "radical"],
)
def test_features_of_known_atoms(smiles, atom, expected):
    assert hot(molecule_graphs([smiles]).atoms[atom]) == expected


def test_elements_that_have_no_column_are_unknown():
    platinum, uranium = molecule_graphs(["[Pt+4]", "[U]"]).atoms
    assert platinum[40] == 1 and platinum[CHARGE] == 4
    assert hot(uranium[:DEGREE]) == {43: 1}


def test_each_block_has_one_value():
    atoms = molecule_graphs(SMILES).atoms
    for start, stop in [(0, 44), (44, 55), (55, 62), (64, 69), (70, 75)]:
        np.testing.assert_array_equal(atoms[:, start:stop].sum(1), 1)


def test_a_batch_is_its_molecules_one_after_the_other():
    graphs = molecule_graphs(np.array(SMILES, dtype=object))
    alone = [molecule_graphs([x]) for x in SMILES]
    sizes = [len(x.atoms) for x in alone]
    starts = np.cumsum(sizes) - sizes
    assert sizes == [13, 1, 3, 15, 2] and graphs.n == 5
    assert torch.equal(graphs.atoms, torch.cat([x.atoms for x in alone]))
    shifted = [x.edges + int(start) for x, start in zip(alone, starts, strict=True)]
    assert torch.equal(graphs.edges, torch.cat(shifted, 1))
    assert graphs.molecule.tolist() == np.repeat(np.arange(5), sizes).tolist()


@pytest.mark.parametrize("index", [[4, 0, 3], [1], [2, 2, 0], [], [0, 1, 2, 3, 4]])
def test_some_molecules_are_as_if_built_alone(index):
    some = molecule_graphs(SMILES).take(index)
    assert len(some) == len(index)
    if not index:
        assert len(some.atoms) == 0 and some.edges.shape == (2, 0)
        return
    expected = molecule_graphs([SMILES[i] for i in index])
    for name in ("atoms", "edges", "molecule"):
        assert torch.equal(getattr(some, name), getattr(expected, name))


@pytest.mark.parametrize(("index", "found"), [([0, 5], "0 to 5"), (np.array([-1, 2]), "-1 to 2")])
def test_molecules_that_are_not_there(index, found, refuses):
    with refuses(IndexError, "from 0 to 4", f"found {found}"):
        molecule_graphs(SMILES).take(index)


def test_single_atoms_have_no_edges():
    graphs = molecule_graphs(["C", "N"])
    assert graphs.edges.shape == (2, 0) and graphs.edges.dtype == torch.int64
    assert graphs.molecule.tolist() == [0, 1]


def test_to_another_device():
    graphs = molecule_graphs(SMILES).to("meta")
    assert graphs.device.type == graphs.edges.device.type == graphs.molecule.device.type == "meta"
    assert graphs.n == 5


@pytest.mark.parametrize("bad", ["C1CC", "", None])
def test_unreadable_smiles(bad, refuses):
    with refuses(ValueError, repr(bad), "read_molecules"):
        molecule_graphs(["C", bad])


def test_no_molecules(refuses):
    with refuses(ValueError, "at least one molecule", "found none"):
        molecule_graphs([])


def test_without_rdkit_it_says_how_to_install_it(monkeypatch, refuses):
    for name in [name for name in sys.modules if name.partition(".")[0] == "rdkit"]:
        monkeypatch.setitem(sys.modules, name, None)
    with refuses(ModuleNotFoundError, "rdkit is not installed", "pip install 'scmomer[drug]'"):
        molecule_graphs(SMILES)
