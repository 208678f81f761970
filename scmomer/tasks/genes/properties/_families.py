"""Families of genes by the letters that their symbols begin with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from scmomer.tasks.genes._inputs import GeneVectors
from scmomer.tasks.genes._names import NameTables, are_ensembl, match_names

_N_LETTERS = 3
_MIN_GENES, _MAX_PREFIXES = 5, 100  # rarer prefixes cannot be learned


def families(names: pd.Index) -> np.ndarray:
    """Return the first letters of each symbol, at most three: ZNF, HOX, IL, ``(n_genes,)``.

    Raises
    ------
    ValueError
        If the names are Ensembl ids.
    """
    if are_ensembl(names):
        msg = (
            "Expected symbols for groups='family', found Ensembl ids. Pass groups= as a Series from "
            "gene to family."
        )
        raise ValueError(msg)
    return _letters(names).str[:_N_LETTERS].to_numpy(object)


def read_groups(
    groups: str | pd.Series | Mapping[str, object] | None, genes: GeneVectors, tables: NameTables
) -> np.ndarray | None:
    """Return the group of each gene, ``(n_genes,)``; a gene without one is a group by itself."""
    if groups is None:
        return None
    if isinstance(groups, str):
        if groups != "family":
            msg = (
                f"Expected groups to be 'family' or a Series, found {groups!r}. Pass one of these."
            )
            raise ValueError(msg)
        return families(genes.names)
    if not isinstance(groups, pd.Series | Mapping):
        msg = (
            f"Expected groups to be 'family', or a Series or dict from gene to group, found "
            f"{type(groups).__name__}. Run `groups = pandas.Series(groups, index=genes)`."
        )
        raise TypeError(msg)
    named = pd.Series(groups, dtype=object)
    named = named[named.notna()].astype(str)
    unique = named.index.astype(str).drop_duplicates()
    rows, columns = match_names(unique, genes, tables, "groups", strict=False)
    first = named[~named.index.duplicated()].to_numpy(object)
    found = np.array([f"only {name}" for name in genes.names], dtype=object)
    found[columns] = first[rows]
    return found


def prefixes(names: pd.Index) -> np.ndarray | None:
    """Return indicators of the letters that names begin with, float32 ``(n_genes, n_prefixes)``.

    Beginnings of every length (Z, ZN, ZNF) that at least five and not all genes share. None if
    there are none, or the names are Ensembl ids.
    """
    if are_ensembl(names):
        return None
    letters = _letters(names)
    lengths = [letters.str[:n][letters.str.len() >= n] for n in range(1, _N_LETTERS + 2)]
    counts = pd.concat(lengths).value_counts()
    counts = counts[(counts >= _MIN_GENES) & (counts < len(names))].iloc[:_MAX_PREFIXES]
    if not len(counts):
        return None
    text = letters.to_numpy(str)
    return np.stack([np.char.startswith(text, p) for p in counts.index], axis=1).astype(np.float32)


def _letters(names: pd.Index) -> pd.Series:
    plain = pd.Series(names.astype(str).str.upper(), dtype=object)
    letters = plain.str.extract(r"^([A-Z]+)", expand=False)
    return letters.fillna(plain)
