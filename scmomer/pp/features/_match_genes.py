"""Match genes of the data to a vocabulary."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scmomer.module import strip_versions
from scmomer.pp.features._remap import incidence


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


def _match_rules(a: pd.Index, b: pd.Index) -> list[tuple[pd.Index, pd.Index]]:
    """Return both lists of names unchanged, without spaces and versions, and in upper case."""
    plain_a, plain_b = strip_versions(a), strip_versions(b)
    return [(a, b), (plain_a, plain_b), (plain_a.str.upper(), plain_b.str.upper())]


def _positions_of(keys: pd.Index, positions: np.ndarray, wanted: pd.Index) -> np.ndarray:
    """Return the position of the key equal to each wanted name, else -1, ``(len(wanted),)``."""
    at = keys.get_indexer(wanted)
    return np.where(at >= 0, np.append(positions, -1)[at], -1)
