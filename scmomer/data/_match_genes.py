"""Match gene names to a vocabulary: by spelling, or through a table of orthologs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scmomer.module import strip_versions

GeneTable: TypeAlias = pd.DataFrame | Mapping[str, str | Sequence[str]]
"""Names of genes and their other names: two columns, or a mapping to one or several."""


class GeneMatch(NamedTuple):
    """Match of genes to entries of a vocabulary."""

    matrix: sp.csr_matrix
    """True where a gene counts in an entry, ``(n_genes, n_vocabulary)``."""
    unclear: np.ndarray
    """Genes that match several entries and therefore count in none, bool ``(n_genes,)``."""


def match_genes(found: pd.Index, vocabulary: pd.Index) -> GeneMatch:
    """Match names exactly, then without spaces and Ensembl versions, then in any case.

    An entry that is matched at one step takes no match of the next. All genes that match an entry
    at the same step count in it; a gene that matches several entries at one step counts in none.

    Parameters
    ----------
    found
        Gene names of the data, possibly repeated; ``""`` where missing.
    vocabulary
        Unique names.
    """
    column = np.full(len(found), -1)
    unclear = np.zeros(len(found), bool)
    for ours, theirs in _match_rules(found, vocabulary):
        repeated = theirs.duplicated(keep=False)
        free = ~repeated & ~np.isin(np.arange(len(vocabulary)), column)
        candidate = _positions_of(theirs[free], np.flatnonzero(free), ours)
        open_ = (column < 0) & (found != "")
        unclear = open_ & ours.isin(theirs[repeated])
        column = np.where(open_, candidate, column)
    known = np.flatnonzero(column >= 0)
    shape = (len(found), len(vocabulary))
    return GeneMatch(incidence(known, column[known], shape), unclear)


def match_through(found: pd.Index, vocabulary: pd.Index, table: pd.DataFrame) -> GeneMatch:
    """Match through a table of orthologs; genes that are not in it match nothing.

    Parameters
    ----------
    found, vocabulary
        As in :func:`match_genes`, by which names are also matched to the table.
    table
        Two columns of names, genes of the data and of the vocabulary, ``(n_pairs, 2)``.
    """
    ours, theirs = (pd.Index(table.iloc[:, i].unique()) for i in (0, 1))
    rows, columns = ours.get_indexer(table.iloc[:, 0]), theirs.get_indexer(table.iloc[:, 1])
    pairs = incidence(rows, columns, (len(ours), len(theirs)))
    before, after = match_genes(found, ours), match_genes(theirs, vocabulary)
    reach = before.matrix @ pairs  # boolean: a repeated pair counts once
    return GeneMatch(reach @ after.matrix, before.unclear | (reach @ after.unclear))


def gene_pairs(
    table: GeneTable,
    argument: str,
    ours: str = "genes of adata",
    theirs: str = "genes of the vocabulary",
) -> pd.DataFrame:
    """Return the pairs of names in a table without missing values, ``(n_pairs, 2)``.

    Parameters
    ----------
    table, argument
        Table or mapping, and the argument it was passed as.
    ours, theirs
        What the two columns hold, for messages.

    Raises
    ------
    TypeError, ValueError
        If `table` is neither a mapping nor a table of two columns.
    """
    if isinstance(table, Mapping):
        pairs = pd.DataFrame(list(table.items()), columns=["from", "to"])
        table = pairs.explode("to")
    if not isinstance(table, pd.DataFrame):
        msg = (
            f"Expected {argument} to be a DataFrame of two columns or a mapping from {ours} "
            f"to {theirs}, found {type(table).__name__}."
        )
        raise TypeError(msg)
    if table.shape[1] != 2:
        msg = (
            f"Expected {argument} to have two columns, {ours} and {theirs}, found "
            f"{table.columns.tolist()}. Select them, as in "
            f"`{argument} = {argument}[{table.columns[:2].tolist()}]`."
        )
        raise ValueError(msg)
    return table.dropna().astype(str)


def incidence(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """Return a matrix of `shape` with True at the given pairs, each ``(n_pairs,)``."""
    return sp.csr_matrix((np.ones(len(rows), bool), (rows, columns)), shape=shape)


def _match_rules(a: pd.Index, b: pd.Index) -> list[tuple[pd.Index, pd.Index]]:
    """Return both lists of names unchanged, without spaces and versions, and in upper case."""
    plain_a, plain_b = strip_versions(a), strip_versions(b)
    return [(a, b), (plain_a, plain_b), (plain_a.str.upper(), plain_b.str.upper())]


def _positions_of(keys: pd.Index, positions: np.ndarray, wanted: pd.Index) -> np.ndarray:
    """Return the position of the key equal to each wanted name, else -1, ``(len(wanted),)``."""
    at = keys.get_indexer(wanted)
    return np.where(at >= 0, np.append(positions, -1)[at], -1)
