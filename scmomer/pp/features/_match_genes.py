"""Which gene of the data is which of a vocabulary."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scmomer.data import strip_versions
from scmomer.pp.features._remap import incidence


class GeneMatch(NamedTuple):
    """What belongs to what."""

    matrix: sp.csr_matrix
    """True where a gene counts in an entry of the vocabulary, ``(n_genes, n_vocabulary)``."""
    unclear: np.ndarray
    """Genes that fit several entries, hence none, bool ``(n_genes,)``."""


def match_genes(found: pd.Index, vocabulary: pd.Index) -> GeneMatch:
    """Match as written, else without spaces and the version of an Ensembl id, else in any case.

    An entry that has a match of one kind takes none of the next. Genes that match one entry in the
    same way all count in it; a gene that fits several entries in the same way counts in none.

    Parameters
    ----------
    found
        Names of the data's genes, perhaps repeated; ``""`` where there is none.
    vocabulary
        Unique names.
    """
    column = np.full(len(found), -1)
    unclear = np.zeros(len(found), bool)
    for ours, theirs in _ever_looser(found, vocabulary):
        repeated = theirs.duplicated(keep=False)
        free = ~repeated & ~np.isin(np.arange(len(vocabulary)), column)
        candidate = _lookup(theirs[free], np.flatnonzero(free), ours)
        open_ = (column < 0) & (found != "")
        unclear = open_ & ours.isin(theirs[repeated])
        column = np.where(open_, candidate, column)
    known = np.flatnonzero(column >= 0)
    shape = (len(found), len(vocabulary))
    return GeneMatch(incidence(known, column[known], shape), unclear)


def match_through(found: pd.Index, vocabulary: pd.Index, table: pd.DataFrame) -> GeneMatch:
    """Match by way of a table of orthologues; genes that are not in it match nothing.

    Parameters
    ----------
    found, vocabulary
        As in :func:`match_genes`, which also decides which name is which in the table.
    table
        Two columns of names: the data's gene and the vocabulary's, ``(n_pairs, 2)``.
    """
    ours, theirs = (pd.Index(table.iloc[:, i].unique()) for i in (0, 1))
    rows, columns = ours.get_indexer(table.iloc[:, 0]), theirs.get_indexer(table.iloc[:, 1])
    pairs = incidence(rows, columns, (len(ours), len(theirs)))
    before, after = match_genes(found, ours), match_genes(theirs, vocabulary)
    reach = before.matrix @ pairs  # of booleans: a pair counts once however often it is listed
    return GeneMatch(reach @ after.matrix, before.unclear | (reach @ after.unclear))


def _ever_looser(a: pd.Index, b: pd.Index) -> list[tuple[pd.Index, pd.Index]]:
    """Return both lists of names as written, without spaces and versions, and in upper case."""
    plain_a, plain_b = strip_versions(a), strip_versions(b)
    return [(a, b), (plain_a, plain_b), (plain_a.str.upper(), plain_b.str.upper())]


def _lookup(keys: pd.Index, positions: np.ndarray, wanted: pd.Index) -> np.ndarray:
    """Return the position of the key that each wanted name is, else -1, ``(len(wanted),)``."""
    at = keys.get_indexer(wanted)
    return np.where(at >= 0, np.append(positions, -1)[at], -1)
