"""What is used of rdkit: SMILES to standardized molecules."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

N_BITS = 2048  # of a fingerprint
_RADIUS = 2  # bonds around an atom that a bit describes

# Atomic numbers. An ion of the first groups is a counterion; any other metal is what acts.
_NONMETALS = {0, 1, 2, *range(5, 11), *range(14, 19), *range(32, 37), *range(51, 55), 85, 86}
_COUNTERIONS = {3, 4, 11, 12, 19, 20, 37, 38, 55, 56, 87, 88}
_CARBON = 6


def import_rdkit() -> Any:
    """Import the optional dependency with all that is used of it."""
    try:
        import rdkit
        import rdkit.Chem.MolStandardize.rdMolStandardize
        import rdkit.Chem.rdFingerprintGenerator
        import rdkit.rdBase
    except ImportError as error:
        msg = (
            "rdkit is not installed (needed to read molecules). Install it with: "
            "pip install 'scmomer[drug]'"
        )
        raise ModuleNotFoundError(msg) from error
    return rdkit


class Molecule(NamedTuple):
    """What is kept of one SMILES."""

    smiles: str
    flat: str  # without stereochemistry
    removed: str
    n_removed: int  # heavy atoms of the largest fragment that is removed
    is_complex: bool  # several fragments around a metal
    n_atoms: int
    has_carbon: bool
    fingerprint: np.ndarray
    pharmacophore: np.ndarray


class MoleculeReader:
    """SMILES to :class:`Molecule`, or None; holds rdkit's tools, which are slow to make."""

    def __init__(self) -> None:
        rdkit = import_rdkit()
        self.quiet = rdkit.rdBase.BlockLogs
        self._chem = rdkit.Chem
        standardize = rdkit.Chem.MolStandardize.rdMolStandardize
        # Not FragmentParent, which first breaks bonds of metals and keeps ammonia of cisplatin.
        self._largest = standardize.LargestFragmentChooser(preferOrganic=True)
        self._uncharger = standardize.Uncharger()
        made = rdkit.Chem.rdFingerprintGenerator
        self._morgan = made.GetMorganGenerator(radius=_RADIUS, fpSize=N_BITS)
        self._features = made.GetMorganGenerator(
            radius=_RADIUS, fpSize=N_BITS, atomInvariantsGenerator=made.GetMorganFeatureAtomInvGen()
        )

    def __call__(self, text: object) -> Molecule | None:
        """Return the parent, or None if rdkit cannot read the text."""
        whole = self._parse(text)
        if whole is None:
            return None
        chem = self._chem
        parts = chem.GetMolFrags(whole, asMols=True)
        fragments = [chem.MolToSmiles(x) for x in parts]
        has_metal = any(_is_metal(atom.GetAtomicNum()) for atom in whole.GetAtoms())
        removed: list[str] = []
        n_removed = 0
        parent = whole
        if not has_metal:
            if len(fragments) > 1:
                parent = self._largest.choose(whole)
                rest = Counter(fragments) - Counter([chem.MolToSmiles(parent)])
                removed = sorted(rest.elements())
                size = dict(zip(fragments, (x.GetNumHeavyAtoms() for x in parts), strict=True))
                n_removed = max((size[x] for x in removed), default=0)
            parent = self._uncharger.uncharge(parent)
        # Read again: SMILES of a changed molecule are canonical only then.
        parent = self._parse(chem.MolToSmiles(parent))
        if parent is None:
            return None
        return Molecule(
            smiles=chem.MolToSmiles(parent),
            flat=chem.MolToSmiles(parent, isomericSmiles=False),
            removed=".".join(removed),
            n_removed=n_removed,
            is_complex=has_metal and len(fragments) > 1,
            n_atoms=parent.GetNumHeavyAtoms(),
            has_carbon=any(atom.GetAtomicNum() == _CARBON for atom in parent.GetAtoms()),
            fingerprint=self._morgan.GetFingerprintAsNumPy(parent).astype(np.uint8),
            pharmacophore=self._features.GetFingerprintAsNumPy(parent).astype(np.uint8),
        )

    def _parse(self, text: object) -> Any:
        molecule = self._chem.MolFromSmiles(text) if isinstance(text, str) else None
        return molecule if molecule is not None and molecule.GetNumAtoms() else None


def _is_metal(number: int) -> bool:
    return number not in _NONMETALS and number not in _COUNTERIONS
