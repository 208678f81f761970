"""Drugs as molecules: SMILES read, salts stripped, the same molecule recognized."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from scmomer.data import warn
from scmomer.tasks.drugs.molecules._rdkit import Molecule, MoleculeReader

logger = logging.getLogger(__name__)

_MAX_ATOMS = 200  # heavy atoms of a small molecule; more are peptides, antibodies, polymers
_MAX_SALT = 15  # heavy atoms of a counterion; more may be a drug
_N_SHOWN = 5  # names in an error or a warning
_N_LOGGED = 20  # names in a line of the log

_MISSING = {"", "-", "na", "n/a", "nan", "none", "null", "<na>"}
_NAME_COLUMNS = ("drug", "drug_name", "drug_id", "compound", "name")


@dataclass(frozen=True, eq=False, repr=False)
class Molecules:
    """Drugs as molecules, in the order of the user; made by :func:`read_molecules`.

    Attributes
    ----------
    names
        Names as text, ``(n,)``, unique.
    smiles
        Canonical SMILES of the neutral parent, ``(n,)``, text. Counterions, acids and solvents of
        salts are gone; a complex of a metal such as platinum is kept whole.
    group
        Code of the molecule, ``(n,)``, int64: names with the same canonical SMILES share it.
    fingerprints
        Morgan fingerprints of radius 2 without stereochemistry, ``(n, 2048)``, uint8, 0 or 1.
    pharmacophores
        The same of atom classes (donor, acceptor, aromatic, halogen, acid, base), same shape.
    removed
        SMILES of what was stripped, ``(n,)``, text; ``""`` where nothing was.
    skipped
        SMILES as given of the drugs that were left out (``on_invalid="skip"``), by name.
    """

    names: pd.Index
    smiles: np.ndarray
    group: np.ndarray
    fingerprints: np.ndarray
    pharmacophores: np.ndarray
    removed: np.ndarray
    skipped: pd.Series

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Molecules: {len(self)} drugs, {self.n_groups} molecules"

    @property
    def n_groups(self) -> int:
        """Number of different molecules."""
        return len(np.unique(self.group))

    @property
    def n_salts(self) -> int:
        """Number of drugs of which something was stripped."""
        return int((self.removed != "").sum())

    def take(self, names: Sequence[str] | pd.Index) -> Molecules:
        """Return the drugs of these names, in this order; codes of `group` stay as they are.

        Raises
        ------
        KeyError
            If a name is not among them.
        """
        index = self.names.get_indexer(pd.Index(names))
        if (index < 0).any():
            absent = [name for name, i in zip(names, index, strict=True) if i < 0]
            msg = (
                f"Expected names of these {len(self)} molecules, found {len(absent)} others: "
                f"{_listed(map(repr, absent), len(absent))}. Pass their SMILES to read_molecules."
            )
            raise KeyError(msg)
        return Molecules(
            names=self.names[index],
            smiles=self.smiles[index],
            group=self.group[index],
            fingerprints=self.fingerprints[index],
            pharmacophores=self.pharmacophores[index],
            removed=self.removed[index],
            skipped=self.skipped,
        )

    def renamed(self, names: pd.Index) -> Molecules:
        """Return the same drugs under other names, ``(n,)``."""
        return replace(self, names=pd.Index(names))

    def tanimoto(self, other: Molecules) -> np.ndarray:
        """Return similarities to other molecules.

        Parameters
        ----------
        other
            Molecules, m of them; may be the same object.

        Returns
        -------
        Bits that both have by bits that any has, ``(n, m)``, float64, from 0 to 1. Stereoisomers
        have 1.
        """
        return _tanimoto(self.fingerprints, other.fingerprints)

    def similarity(self, other: Molecules) -> np.ndarray:
        """Return the Tanimoto similarity of the pharmacophores, ``(n, m)``, from 0 to 1."""
        return _tanimoto(self.pharmacophores, other.pharmacophores)


def _tanimoto(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # Counts up to 2048 are exact in float32.
    ours, theirs = a.astype(np.float32), b.astype(np.float32)
    both = (ours @ theirs.T).astype(float)
    either = ours.sum(1)[:, None] + theirs.sum(1)[None] - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def read_molecules(
    drugs: pd.Series | Mapping[str, str] | pd.DataFrame,
    *,
    on_invalid: Literal["raise", "skip"] = "raise",
) -> Molecules:
    """Read the molecules of drugs from SMILES.

    Of a salt, the largest organic fragment is kept and charges are neutralized where possible, so
    a drug and its salts are one molecule. Fragments of a compound with a metal other than those of
    groups 1 and 2 (platinum complexes, which SMILES often break into ions) stay together. Tautomers
    and stereoisomers are different molecules. What was stripped, and names with the same molecule,
    are in the log.

    Parameters
    ----------
    drugs
        SMILES by name: a Series with names as index, a mapping, or a DataFrame with a column of
        SMILES and one of names (``drug``, ``drug_name``, ``drug_id``, ``compound`` or ``name``; else
        its index).
    on_invalid
        What to do with SMILES that are missing (``""``, NaN, the text ``None`` and so on) or that
        rdkit cannot read.

        - ``"raise"``: an error with the names.
        - ``"skip"``: leave the drugs out with a warning; see ``skipped``.

    Returns
    -------
    Names, canonical SMILES, groups and fingerprints of n molecules.

    Raises
    ------
    ModuleNotFoundError
        If rdkit is not installed.
    TypeError
        If `drugs` is none of the types.
    ValueError
        If SMILES are invalid, all are, or a name has different molecules.

    Warns
    -----
    UserWarning
        Of drugs left out, removed parts of more than 15 heavy atoms (a second drug in one SMILES),
        molecules without carbon or with more than 200 heavy atoms (the models are made for organic
        small molecules), and names whose molecules differ in stereochemistry alone (a split by
        molecule keeps them apart; the models cannot).

    Notes
    -----
    Fragments, charges and fingerprints are rdkit's (``rdMolStandardize``,
    ``rdFingerprintGenerator``); fingerprints: Rogers and Hahn, J. Chem. Inf. Model. 50, 742 (2010).
    A counterion larger than the drug, such as pamoate, is taken for the drug: look at ``removed``.

    Examples
    --------
    >>> molecules = scmomer.tasks.drugs.read_molecules(
    ...     {"Aspirin": "CC(=O)Oc1ccccc1C(=O)O", "Aspirin sodium": "CC(=O)Oc1ccccc1C(=O)[O-].[Na+]"}
    ... )
    >>> molecules.group
    array([0, 0])
    """
    if on_invalid not in ("raise", "skip"):
        msg = f"Expected on_invalid of 'raise' or 'skip', found {on_invalid!r}. Choose one."
        raise ValueError(msg)
    names, given = _names_and_smiles(drugs)
    read = MoleculeReader()
    with read.quiet():
        found = [None if _is_missing(text) else read(text) for text in given]
    valid = np.array([molecule is not None for molecule in found])
    if not valid.all():
        bad = _describe(names, given, ~valid)
        if on_invalid == "raise" or not valid.any():
            remedy = (
                "Correct them; on_invalid='skip' leaves these drugs out."
                if valid.any()
                else "Pass names as index and SMILES as values."
            )
            msg = f"Expected SMILES that rdkit can read, found others in {bad}. {remedy}"
            raise ValueError(msg)
        warn(f"Left out for want of SMILES that rdkit can read: {bad}.")
    molecules = [molecule for molecule in found if molecule is not None]
    kept = _first_of_name(names[valid], molecules)
    molecules, kept_names = [molecules[i] for i in kept], names[valid][kept]
    _log(kept_names, molecules)
    for message in _cautions(kept_names, molecules):
        warn(message)
    smiles = np.array([m.smiles for m in molecules], dtype=object)
    return Molecules(
        names=kept_names,
        smiles=smiles,
        # Sorted SMILES: codes do not depend on the order of the drugs.
        group=np.unique(smiles.astype(str), return_inverse=True)[1].reshape(-1),
        fingerprints=np.stack([m.fingerprint for m in molecules]),
        pharmacophores=np.stack([m.pharmacophore for m in molecules]),
        removed=np.array([m.removed for m in molecules], dtype=object),
        skipped=pd.Series(given, index=names, dtype=object)[~valid],
    )


def _is_missing(text: object) -> bool:
    if isinstance(text, str):
        return text.strip().lower() in _MISSING
    return text is None or bool(pd.isna(text))  # type: ignore[call-overload]


def _names_and_smiles(drugs: Any) -> tuple[pd.Index, list[Any]]:
    if isinstance(drugs, pd.DataFrame):
        drugs = _of_table(drugs)
    elif isinstance(drugs, Mapping):
        drugs = pd.Series(list(drugs.values()), index=list(drugs), dtype=object)
    if not isinstance(drugs, pd.Series):
        msg = (
            "Expected drugs as a Series, mapping or DataFrame of names and SMILES, found "
            f"{type(drugs).__name__}. Pass `pd.Series(smiles, index=names)`."
        )
        raise TypeError(msg)
    if drugs.empty:
        msg = "Expected at least one drug, found none. Pass SMILES by name."
        raise ValueError(msg)
    names = [_as_name(name) for name in drugs.index]
    if n := names.count(""):
        msg = (
            f"Expected a name for each of {len(names)} drugs, found {n} without. Name or drop them."
        )
        raise ValueError(msg)
    return pd.Index(names, dtype=object), drugs.tolist()


def _as_name(name: object) -> str:
    if name is None or (isinstance(name, float) and np.isnan(name)) or name is pd.NA:
        return ""
    # Numbers of compounds are floats in a table in which one is missing.
    return str(int(name) if isinstance(name, float) and name.is_integer() else name).strip()


def _of_table(table: pd.DataFrame) -> pd.Series:
    columns = {column: str(column).strip().lower() for column in table.columns}
    of_smiles = [column for column, lower in columns.items() if "smiles" in lower]
    of_names = [column for column, lower in columns.items() if lower in _NAME_COLUMNS]
    from_index = not of_names and not isinstance(table.index, pd.RangeIndex)
    if len(of_smiles) != 1 or (len(of_names) != 1 and not from_index):
        msg = (
            f"Expected one column of SMILES ('smiles') and one of names ({', '.join(_NAME_COLUMNS)}"
            f"), found {of_smiles} and {of_names} among {list(table.columns)[:10]}. Pass a Series: "
            "`table.set_index('drug')['smiles']` with your columns."
        )
        raise ValueError(msg)
    return table[of_smiles[0]] if from_index else table.set_index(of_names[0])[of_smiles[0]]


def _first_of_name(names: pd.Index, molecules: list[Molecule]) -> np.ndarray:
    """Return where each name occurs first; raise if it has another molecule later."""
    smiles = pd.Series([m.smiles for m in molecules], names)
    different = smiles.groupby(level=0, sort=False).unique()
    if len(several := different[different.str.len() > 1]):
        shown = (f"{name!r} ({', '.join(found)})" for name, found in several.items())
        msg = (
            f"Expected one molecule for each name, found {len(several)} names with different "
            f"SMILES: {_listed(shown, len(several))}. Rename them or keep one SMILES for each."
        )
        raise ValueError(msg)
    kept = np.flatnonzero(~names.duplicated())
    if n := len(names) - len(kept):
        logger.info("%d rows repeat a name and its molecule: used once.", n)
    return kept


def _describe(names: pd.Index, given: list[Any], which: np.ndarray) -> str:
    """Return how many drugs these are, and the first with what is wrong with their SMILES."""
    where = np.flatnonzero(which)
    what = ("missing" if _is_missing(given[i]) else repr(given[i]) for i in where)
    shown = (f"{names[i]!r} ({x})" for i, x in zip(where, what, strict=True))
    return f"{len(where)} of {len(names)} drugs: {_listed(shown, len(where))}"


def _log(names: pd.Index, molecules: list[Molecule]) -> None:
    def tell(text: str, shown: list[str]) -> None:
        if shown:
            logger.info("%s: %d (%s).", text, len(shown), _listed(shown, len(shown), _N_LOGGED))

    pairs = list(zip(names, molecules, strict=True))
    tell("Stripped of salts", [f"{name}: {m.removed}" for name, m in pairs if m.removed])
    tell("Complexes kept whole", [f"{name}: {m.smiles}" for name, m in pairs if m.is_complex])
    by_molecule = names.to_series().groupby([m.smiles for m in molecules], sort=False)
    several = [" = ".join(group) for _, group in by_molecule if len(group) > 1]
    tell("Molecules with several names", several)


def _cautions(names: pd.Index, molecules: list[Molecule]) -> Iterator[str]:
    n = len(molecules)
    for text, bad in {
        "no carbon": names[[not m.has_carbon for m in molecules]],
        f"more than {_MAX_ATOMS} heavy atoms": names[[m.n_atoms > _MAX_ATOMS for m in molecules]],
    }.items():
        if len(bad):
            yield (
                f"{len(bad)} of {n} molecules have {text} ({_listed(map(repr, bad), len(bad))}). "
                "Predictions are meant for organic small molecules."
            )
    two = [
        f"{name!r}: {m.removed}"
        for name, m in zip(names, molecules, strict=True)
        if m.n_removed > _MAX_SALT
    ]
    if two:
        yield (
            f"{len(two)} of {n} SMILES have two large molecules, of which only the larger is kept "
            f"(left out: {_listed(two, len(two))}). If both are drugs, pass each by itself."
        )
    smiles = pd.Series([m.smiles for m in molecules], names)
    n_isomers = smiles.groupby([m.flat for m in molecules]).transform("nunique")
    if len(isomers := names[n_isomers > 1]):
        yield (
            f"{len(isomers)} of {n} drugs differ from another in stereochemistry alone "
            f"({_listed(map(repr, isomers), len(isomers))}): they have different groups and the "
            "same fingerprint."
        )


def _listed(items: Any, n: int, limit: int = _N_SHOWN) -> str:
    shown = ", ".join(item for item, _ in zip(items, range(limit), strict=False))
    return shown + (f" and {n - limit} more" if n > limit else "")
