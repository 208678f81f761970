"""What users pass, as drugs, cell lines and rows of numbers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from scmomer.data import examples, warn
from scmomer.tasks.drugs.molecules._molecules import Molecules, read_molecules
from scmomer.tasks.drugs.molecules._rdkit import N_BITS
from scmomer.tasks.drugs.response._inputs import Drugs, OnInvalid
from scmomer.tasks.drugs.synergy._fit import FittedSynergy
from scmomer.tasks.drugs.synergy._inputs import Subjects
from scmomer.tasks.drugs.tables._columns import LINE_COLUMNS, find_column, read_names
from scmomer.tasks.drugs.tables._line_names import match_line_names
from scmomer.tasks.drugs.tables._synergy_table import (
    A_COLUMNS,
    B_COLUMNS,
    SynergyTable,
    read_synergy,
)
from scmomer.tasks.drugs.tables._synonyms import match_drug_names

logger = logging.getLogger(__name__)


def read_training(
    synergy: pd.DataFrame | SynergyTable,
    drugs: Drugs,
    blocks: dict[str, pd.DataFrame],
    on_invalid: OnInvalid,
) -> tuple[SynergyTable, Subjects]:
    """Return synergies, and their drugs and lines in the order of the table.

    Lines and drugs without features are kept, and counted in the log.

    Raises
    ------
    ValueError
        If no line or no drug has features, or a name is that of several.
    """
    molecules = read_molecules(drugs, on_invalid=on_invalid)
    if isinstance(synergy, SynergyTable):
        table = _merged(synergy, _groups(synergy, molecules))
    else:
        first = _read_table(synergy)
        table = read_synergy(synergy, groups=_groups(first, molecules))
    smiles, fingerprints = _molecules_of(_drug_names(table, molecules), molecules)
    lines = {name: _lines_of(table.lines, block) for name, block in blocks.items()}
    subjects = Subjects(
        smiles=smiles,
        fingerprints=fingerprints,
        drug_ids=np.arange(len(table.drugs)),
        cell_ids=np.arange(len(table.lines)),
        blocks=lines,
    )
    return table, subjects


def _read_table(synergy: pd.DataFrame) -> SynergyTable:
    """Return the table without folds, which are checked when names of one molecule are one drug."""
    if isinstance(synergy, pd.DataFrame):
        synergy = synergy.drop(columns="fold", errors="ignore")
    try:
        return read_synergy(synergy)
    except (KeyError, ValueError) as error:
        text = str(error.args[0]) if error.args else ""
        if "_key=" not in text:
            raise
        # The options for columns are those of read_synergy alone.
        msg = f"{text} These are options of scmomer.tasks.drugs.read_synergy: pass what it returns."
        raise type(error)(msg) from error


def _groups(table: SynergyTable, molecules: Molecules) -> pd.Series:
    """Return the molecule of each drug that has one, by name: names of one molecule are one drug."""
    names = _drug_names(table, molecules)
    found = names[names.notna()]
    return pd.Series(molecules.take(found.tolist()).smiles, index=found.index, dtype=object)


def _merged(table: SynergyTable, groups: pd.Series) -> SynergyTable:
    """Return a table in which names of one molecule are one drug."""
    if not groups.duplicated().any():
        return table
    rows = pd.DataFrame(
        {
            "drug_a": table.drugs[table.drug_a],
            "drug_b": table.drugs[table.drug_b],
            "cell_line": table.lines[table.line],
            "synergy": table.value,
        }
    )
    if table.fold is not None:
        rows["fold"] = table.fold
    found = read_synergy(rows, groups=groups)
    return replace(found, n_duplicates=found.n_duplicates + table.n_duplicates)


def _drug_names(table: SynergyTable, molecules: Molecules) -> pd.Series:
    """Return the name among the molecules of each drug of the table; None where there is none."""
    groups = dict(zip(molecules.names, molecules.smiles, strict=True))
    return match_drug_names(table.drugs.tolist(), molecules.names.tolist(), groups=groups)


def _molecules_of(names: pd.Series, molecules: Molecules) -> tuple[np.ndarray, np.ndarray]:
    """Return SMILES and fingerprints of drugs; "" and zeros for drugs without."""
    has = names.notna().to_numpy()
    if not has.any():
        msg = (
            f"Expected SMILES of the drugs of synergy ({examples(names.index)}), found those of "
            f"{examples(molecules.names)}. Pass SMILES by these names as drugs."
        )
        raise ValueError(msg)
    if not has.all():
        without = names.index[~has]
        warn(
            f"{len(without)} of {len(has)} drugs of synergy have no SMILES ({examples(without)}): "
            "they are told apart by name alone."
        )
    found = molecules.take(names[has].tolist())
    smiles = np.full(len(has), "", dtype=object)
    fingerprints = np.zeros((len(has), N_BITS), np.uint8)
    smiles[has], fingerprints[has] = found.smiles, found.fingerprints
    return smiles, fingerprints


def _lines_of(lines: pd.Index, block: pd.DataFrame) -> pd.DataFrame:
    """Return features in the order of the lines; NaN for lines without."""
    names = match_line_names(lines.tolist(), block.index.astype(str).tolist())
    found = block.set_axis(block.index.astype(str)).reindex(names.to_numpy())
    without = names.index[names.isna()]
    if len(without):
        logger.info(
            "%d of %d cell lines of synergy have no features (%s): they are told apart by name "
            "alone.",
            *(len(without), len(lines), examples(without)),
        )
    return found.set_axis(lines)


# -- prediction

Pairs: TypeAlias = pd.DataFrame | Sequence[tuple[str, ...]]


def read_pairs(pairs: Pairs | None, drugs: Sequence[str], lines: Sequence[str]) -> pd.DataFrame:
    """Return drug_a, drug_b and cell_line of rows to predict, as text.

    Parameters
    ----------
    pairs
        As in :meth:`scmomer.DrugSynergyModel.predict`.
    drugs
        Those of all pairs, if `pairs` is None.
    lines
        Those of pairs without a cell line: each pair in each line.

    Raises
    ------
    TypeError, ValueError, KeyError
        If `pairs` are no pairs.
    """
    if pairs is None:
        a, b = np.triu_indices(len(drugs), 1)
        names = np.array(drugs, dtype=object)
        table = pd.DataFrame({"drug_a": names[a], "drug_b": names[b]})
    else:
        table = pairs if isinstance(pairs, pd.DataFrame) else _as_frame(list(pairs))
    columns = _columns_of(table)
    rows = pd.DataFrame({role: read_names(table[c]) for role, c in columns.items()})
    if n := int(rows.isna().any(axis=1).sum()):
        msg = f"Expected names in all {len(rows)} rows of pairs, found {n} without. Drop these."
        raise ValueError(msg)
    if "cell_line" not in rows:
        rows = rows.merge(pd.DataFrame({"cell_line": list(map(str, lines))}), how="cross")
    if rows.empty:
        msg = "Expected at least one pair of drugs, found none. Pass pairs, or None for all."
        raise ValueError(msg)
    same = rows["drug_a"] == rows["drug_b"]
    if same.any():
        msg = (
            f"Expected two different drugs in each pair, found {same.sum()} rows of a drug with "
            f"itself, such as {rows.loc[same, 'drug_a'].iloc[0]!r}. Drop these rows."
        )
        raise ValueError(msg)
    return rows


def _columns_of(pairs: pd.DataFrame) -> dict[str, str]:
    """Return the names of the columns of both drugs and perhaps the line."""
    columns = {}
    for role, usual in (
        ("drug_a", A_COLUMNS),
        ("drug_b", B_COLUMNS),
        ("cell_line", LINE_COLUMNS),
    ):
        try:
            found = find_column(pairs, "pairs", None, usual, role)
        except ValueError as error:
            msg = (
                f"Expected one column for {role} in pairs, found several among "
                f"{list(pairs.columns)}. Drop all but one."
            )
            raise ValueError(msg) from error
        if found is not None:
            columns[role] = found
        elif role != "cell_line":
            msg = (
                "Expected columns 'drug_a' and 'drug_b' in pairs, and perhaps 'cell_line', found "
                f"{list(pairs.columns)}. Rename them: "
                f"`pairs = pairs.rename(columns={{its_name: {role!r}}})`."
            )
            raise KeyError(msg)
    return columns


def _as_frame(pairs: list[Any]) -> pd.DataFrame:
    sizes = {len(p) if isinstance(p, tuple | list) else 0 for p in pairs}
    if len(sizes) > 1 or not sizes <= {2, 3}:
        msg = (
            "Expected pairs as a DataFrame with drug_a and drug_b, or a list of tuples (drug_a, "
            f"drug_b) or (drug_a, drug_b, cell_line), found {examples(pairs)}. Pass one of these."
        )
        raise TypeError(msg)
    return pd.DataFrame(pairs, columns=["drug_a", "drug_b", "cell_line"][: min(sizes, default=2)])


class Chosen:
    """Drugs and lines of a prediction: those of training, and new ones."""

    def __init__(
        self,
        fitted: FittedSynergy,
        drugs: Drugs | None,
        blocks: dict[str, pd.DataFrame],
        on_invalid: OnInvalid,
    ):
        self.fitted = fitted
        self.molecules = None if drugs is None else read_molecules(drugs, on_invalid=on_invalid)
        self.blocks = blocks

    @property
    def drug_names(self) -> list[str]:
        """All drugs, those that were passed or those of training."""
        names = self.fitted.drugs if self.molecules is None else self.molecules.names
        return names.tolist()

    @property
    def line_names(self) -> list[str]:
        """All lines, those that were passed or those of training."""
        names = next(iter(self.blocks.values())).index if self.blocks else self.fitted.lines
        return names.astype(str).tolist()

    def subjects(
        self, rows: pd.DataFrame, *, asked: bool
    ) -> tuple[pd.DataFrame, Subjects, np.ndarray, np.ndarray]:
        """Return what the network reads for rows of names.

        Parameters
        ----------
        rows
            As :func:`read_pairs` returns them.
        asked
            Whether the user passed pairs. Pairs of two names of one drug are then an error;
            otherwise they are left out.

        Returns
        -------
        tuple[DataFrame, Subjects, ndarray, ndarray]
            Rows that are left, their drugs and lines, features of lines ``(n_lines, n_cell)``, and
            numbers of drugs and lines ``(n, 3)``.
        """
        codes, names = pd.factorize(rows[["drug_a", "drug_b"]].to_numpy(object).T.ravel())
        smiles, fingerprints, drug_ids = self._drugs(names)
        both = codes.reshape(2, -1)
        same = _is_same(smiles, drug_ids, *both)
        if same.any():
            rows, codes = _different(rows, same, asked), both[:, ~same].ravel()
        at, lines = pd.factorize(rows["cell_line"])
        cells, cell_ids = self._lines(pd.Index(lines))
        subjects = Subjects(smiles, fingerprints, drug_ids, cell_ids)
        return rows, subjects, cells, np.stack([*codes.reshape(2, -1), at], axis=1)

    def _drugs(self, names: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return SMILES, fingerprints and numbers in training of drugs."""
        fitted, given = self.fitted, self.molecules
        new = np.zeros(len(names), bool) if given is None else np.isin(names, given.names)
        known = pd.Series(names).where(np.isin(names, fitted.drugs) & ~new, None).to_numpy(object)
        if (pd.isna(known) & ~new).any():
            known[~new] = match_drug_names(names[~new].tolist(), fitted.drugs.tolist()).to_numpy()
        unknown = names[~new & pd.isna(known)]
        if len(unknown):
            msg = (
                f"Expected drugs of training ({examples(fitted.drugs)}) or with SMILES, found "
                f"{len(unknown)} others: {examples(unknown)}. Pass their SMILES by name as drugs=."
            )
            raise ValueError(msg)
        ids = np.full(len(names), -1)
        ids[~new] = fitted.drugs.get_indexer(pd.Index(known[~new]))
        smiles, fingerprints = fitted.smiles[ids], fitted.fingerprints[ids]
        if given is not None and new.any():
            found = given.take(names[new].tolist())
            smiles[new], fingerprints[new] = found.smiles, found.fingerprints
            ids[new] = self._ids_of(names[new], found)
        return smiles, fingerprints, ids

    def _ids_of(self, names: np.ndarray, found: Molecules) -> np.ndarray:
        """Return numbers in training of the same molecules, -1 where new."""
        own, first = np.unique(self.fitted.smiles.astype(str), return_index=True)
        at = np.searchsorted(own, found.smiles.astype(str)).clip(max=len(own) - 1)
        ids = np.where(own[at] == found.smiles.astype(str), first[at], -1)
        by_name = self.fitted.drugs.get_indexer(pd.Index(names))
        nameless = self.fitted.smiles[by_name] == ""
        other = (by_name >= 0) & (ids != by_name) & ~nameless
        if other.any():
            name = names[other][0]
            msg = (
                f"Expected the SMILES of training for the drug {name!r} "
                f"({self.fitted.smiles[by_name[other][0]]}), found {found.smiles[other][0]}. Rename "
                "the drug if it is another one."
            )
            raise ValueError(msg)
        return np.where(ids < 0, by_name, ids)

    def _lines(self, lines: pd.Index) -> tuple[np.ndarray, np.ndarray]:
        """Return features of lines ``(n_lines, n_cell)`` and numbers in training ``(n_lines,)``."""
        fitted = self.fitted
        ids = fitted.lines.get_indexer(pd.Index(_match(lines, fitted.lines)))
        cells = fitted.cells[ids].copy()
        passed = np.zeros(len(lines), bool)
        if self.blocks:
            own = next(iter(self.blocks.values())).index.astype(str)
            at = own.get_indexer(pd.Index(_match(lines, own)))
            passed = at >= 0
            taken = {name: block.iloc[at[passed]] for name, block in self.blocks.items()}
            if passed.any():
                cells[passed] = fitted.ensemble.inputs.cell_features(taken)
        absent = lines[(ids < 0) & ~passed]
        if len(absent):
            msg = (
                f"Expected cell lines of training ({examples(fitted.lines)}) or in cells=, found "
                f"{len(absent)} others: {examples(absent)}. Pass their profiles as cells=."
            )
            raise ValueError(msg)
        return cells, ids


def _is_same(smiles: np.ndarray, ids: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return in which pairs both are one drug, by number in training or molecule, ``(n_pairs,)``."""
    text = smiles.astype(str)
    molecule = np.where(text == "", -1, pd.factorize(text)[0])
    return ((ids[a] == ids[b]) & (ids[a] >= 0)) | (
        (molecule[a] == molecule[b]) & (molecule[a] >= 0)
    )


def _different(rows: pd.DataFrame, same: np.ndarray, asked: bool) -> pd.DataFrame:
    """Leave out rows of two names of one drug; raise if they were asked for, or none is left."""
    a, b = rows.loc[same, ["drug_a", "drug_b"]].iloc[0]
    if asked or same.all():
        msg = (
            f"Expected two different drugs in each pair, found {same.sum()} rows of two names of "
            f"one drug, such as {a!r} and {b!r}. Drop these rows."
        )
        raise ValueError(msg)
    logger.info("%d rows of two names of one drug (%r and %r) are left out.", same.sum(), a, b)
    return rows[~same].reset_index(drop=True)


def _match(names: pd.Index, known: pd.Index) -> np.ndarray:
    """Return the known name of each, None where there is none: unlike in a table, all may be new."""
    if names.isin(known).all():
        return names.to_numpy()
    try:
        return match_line_names(names.tolist(), known.tolist()).to_numpy()
    except ValueError:
        return np.full(len(names), None, dtype=object)
