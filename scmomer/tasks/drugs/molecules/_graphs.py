"""Molecules as graphs of atoms, all in one batch of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scmomer.tasks.drugs.molecules._rdkit import import_rdkit

# Of deepchem's ConvMolFeaturizer, the last for any other.
_SYMBOLS = (
    *("C", "N", "O", "S", "F", "Si", "P", "Cl", "Br", "Mg", "Na", "Ca", "Fe", "As", "Al", "I"),
    *("B", "V", "K", "Tl", "Yb", "Sb", "Sn", "Ag", "Pd", "Co", "Se", "Ti", "Zn", "H", "Li", "Ge"),
    *("Cu", "Au", "Ni", "Cd", "In", "Mn", "Zr", "Cr", "Pt", "Hg", "Pb", "Unknown"),
)
_HYBRIDIZATIONS = ("SP", "SP2", "SP3", "SP3D", "SP3D2")
_MAX_DEGREE, _MAX_VALENCE, _MAX_HYDROGENS = 10, 6, 4
# Columns of a code (one-hot) or of a number, in the order of :func:`_describe`.
_CODES, _NUMBERS = np.array([0, 1, 2, 5, 7]), np.array([3, 4, 6])
_SIZES = np.ones(8, int)
_SIZES[_CODES] = (
    *(len(_SYMBOLS), _MAX_DEGREE + 1, _MAX_VALENCE + 1),
    *(len(_HYBRIDIZATIONS), _MAX_HYDROGENS + 1),
)
N_ATOM_FEATURES = int(_SIZES.sum())  # 75


@dataclass(frozen=True, eq=False, repr=False)
class MoleculeGraphs:
    """Molecules as one graph without edges between them; made by :func:`molecule_graphs`.

    Attributes
    ----------
    atoms
        Features of atoms, molecule after molecule, ``(n_atoms, 75)``, float32.
    edges
        Bonds in both directions, ``(2, n_edges)``, int64, molecule after molecule.
    molecule
        Molecule of each atom, ``(n_atoms,)``, int64, ascending.
    n
        Number of molecules.
    """

    atoms: Tensor
    edges: Tensor
    molecule: Tensor
    n: int

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        return f"MoleculeGraphs: {self.n} molecules, {len(self.atoms)} atoms on {self.device}"

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.atoms.device

    def to(self, device: torch.device | str) -> MoleculeGraphs:
        """Return the graphs on another device."""
        return MoleculeGraphs(
            self.atoms.to(device), self.edges.to(device), self.molecule.to(device), self.n
        )

    def take(self, index: Tensor | np.ndarray | Sequence[int]) -> MoleculeGraphs:
        """Return some molecules, such as those of a training part.

        Parameters
        ----------
        index
            Their positions, ``(m,)``, from 0 to n - 1, in any order.

        Raises
        ------
        IndexError
            If a position is not in this range.
        """
        index = torch.as_tensor(index, dtype=torch.long, device=self.device)
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < self.n:
            msg = (
                f"Expected positions from 0 to {self.n - 1}, found {int(index.min())} to "
                f"{int(index.max())}. Use positions in the SMILES of molecule_graphs."
            )
            raise IndexError(msg)
        of_edge = self.molecule[self.edges[0]]
        atoms, molecule, shift = _segments(self.molecule, self.n, index)
        edges, edge_molecule, _ = _segments(of_edge, self.n, index)
        return MoleculeGraphs(
            self.atoms[atoms], self.edges[:, edges] + shift[edge_molecule], molecule, len(index)
        )


def molecule_graphs(smiles: Sequence[str] | np.ndarray) -> MoleculeGraphs:
    """Make graphs of molecules, to be built once and encoded many times.

    Parameters
    ----------
    smiles
        SMILES, n of them, such as those of :class:`Molecules`.

    Returns
    -------
    The n molecules in this order. An atom has 75 features: one of 44 symbols, degree (0 to 10),
    implicit valence (0 to 6), formal charge, radical electrons, hybridization (SP, SP2, SP3, SP3D,
    SP3D2), aromatic, attached hydrogens (0 to 4). A value outside a range counts as its last. Hydrogens
    are no atoms of the graph.

    Raises
    ------
    ModuleNotFoundError
        If rdkit is not installed.
    ValueError
        If there are no SMILES, or rdkit cannot read one.

    Notes
    -----
    Features are those of deepchem's ``ConvMolFeaturizer``, which DeepCDR uses (Liu et al.,
    Bioinformatics 36, i911, 2020).

    Examples
    --------
    >>> graphs = molecule_graphs(["CC(=O)Oc1ccccc1C(=O)O"])
    >>> graphs.atoms.shape, graphs.edges.shape
    (torch.Size([13, 75]), torch.Size([2, 26]))
    """
    if not len(smiles):
        msg = "Expected SMILES of at least one molecule, found none. Pass those of read_molecules."
        raise ValueError(msg)
    rdkit = import_rdkit()
    with rdkit.rdBase.BlockLogs():
        molecules = [_parse(rdkit, text) for text in smiles]
    valence = rdkit.Chem.ValenceType.IMPLICIT
    atoms = np.array([_describe(a, valence) for m in molecules for a in m.GetAtoms()])
    sizes = np.array([m.GetNumAtoms() for m in molecules])
    starts = np.cumsum(sizes) - sizes
    bonds = [
        (start + bond.GetBeginAtomIdx(), start + bond.GetEndAtomIdx())
        for start, molecule in zip(starts, molecules, strict=True)
        for bond in molecule.GetBonds()
    ]
    ends = np.array(bonds, dtype=np.int64).reshape(-1, 2)
    # Each bond forth and back, so that edges stay molecule after molecule.
    edges = np.stack([ends.reshape(-1), ends[:, ::-1].reshape(-1)])
    return MoleculeGraphs(
        torch.from_numpy(_features(atoms)),
        torch.from_numpy(edges),
        torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        len(sizes),
    )


def _parse(rdkit: Any, text: object) -> Any:
    molecule = rdkit.Chem.MolFromSmiles(text) if isinstance(text, str) else None
    if molecule is None or not molecule.GetNumAtoms():
        msg = (
            f"Expected SMILES that rdkit can read, found {text!r}. Pass the smiles of "
            "read_molecules, which names or skips such drugs."
        )
        raise ValueError(msg)
    return molecule


_SYMBOL_CODES = {symbol: code for code, symbol in enumerate(_SYMBOLS)}
_HYBRIDIZATION_CODES = {name: code for code, name in enumerate(_HYBRIDIZATIONS)}


def _describe(atom: Any, valence: Any) -> tuple[int, ...]:
    """Return codes and numbers of one atom, in the order of the features."""
    return (
        _SYMBOL_CODES.get(atom.GetSymbol(), len(_SYMBOLS) - 1),
        min(atom.GetDegree(), _MAX_DEGREE),
        min(atom.GetValence(valence), _MAX_VALENCE),
        atom.GetFormalCharge(),
        atom.GetNumRadicalElectrons(),
        _HYBRIDIZATION_CODES.get(str(atom.GetHybridization()), len(_HYBRIDIZATIONS) - 1),
        int(atom.GetIsAromatic()),
        min(atom.GetTotalNumHs(), _MAX_HYDROGENS),
    )


def _features(atoms: np.ndarray) -> np.ndarray:
    """Map codes and numbers ``(n_atoms, 8)`` to features ``(n_atoms, 75)``, float32."""
    features = np.zeros((len(atoms), N_ATOM_FEATURES), np.float32)
    starts = np.cumsum(_SIZES) - _SIZES
    features[np.arange(len(atoms))[:, None], starts[_CODES] + atoms[:, _CODES]] = 1
    features[:, starts[_NUMBERS]] = atoms[:, _NUMBERS]
    return features


def _segments(owner: Tensor, n: int, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the items of some owners; items are sorted by owner.

    Returns
    -------
    Positions of the items, the position of each one's owner in `index`, and for each of `index` how
    far its items move, ``(m,)``.
    """
    sizes = torch.bincount(owner, minlength=n)
    starts = (sizes.cumsum(0) - sizes)[index]
    taken = sizes[index]
    shift = taken.cumsum(0) - taken - starts
    which = torch.repeat_interleave(torch.arange(len(index), device=owner.device), taken)
    return torch.arange(len(which), device=owner.device) - shift[which], which, shift
