"""Match the genes of labels and pairs to those of embeddings."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scmomer.data import GeneTable, examples, gene_pairs, incidence, match_genes, match_through
from scmomer.tasks.genes._inputs import GeneVectors

logger = logging.getLogger(__name__)

_ENSEMBL = r"(?i)ENS[A-Z]*G\d{5,}(\.\d+)?"
_MAX_UNKNOWN = 0.5  # share of names


@dataclass(frozen=True)
class NameTables:
    """Tables by which names are matched beyond their spelling."""

    aliases: GeneTable | None = None
    orthologs: GeneTable | None = None


def are_ensembl(names: pd.Index) -> bool:
    """Whether most names are Ensembl ids of genes."""
    matches = names.astype(str).str.fullmatch(_ENSEMBL)
    return bool(len(names)) and float(np.asarray(matches, bool).mean()) > 0.5


def match_names(
    found: pd.Index, genes: GeneVectors, tables: NameTables, what: str, *, strict: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Match names to genes of an embedding, by :func:`scmomer.data.match_genes`.

    Names that do not match are looked up in ``tables.aliases``, in both directions.

    Parameters
    ----------
    found
        Unique names.
    genes
        The embedding.
    tables
        Aliases and orthologs.
    what
        Name of the argument with the names, for messages.
    strict
        Raise if more than half of the names are unknown.

    Returns
    -------
    tuple
        Positions in `found` and in the embedding, each ``(n_matches,)``. A name may occur several
        times (orthologs), and several names may match one gene.

    Raises
    ------
    ValueError
        If one side has Ensembl ids and the other has not, or too many names are unknown.
    """
    if not len(found):
        msg = f"Expected names of genes in {what}, found none. Pass some."
        raise ValueError(msg)
    matrix = _match(found, genes.names, tables)
    known = np.diff(matrix.indptr) > 0
    n_unknown = int((~known).sum())
    few = not known.any() or (strict and n_unknown > _MAX_UNKNOWN * len(found))
    if few:
        raise ValueError(_too_few(found, known, genes, tables, what))
    if n_unknown:
        logger.info(
            "%d of %d genes in %s are not in the embedding (such as %s) and are left out.",
            n_unknown,
            len(found),
            what,
            examples(found[~known]),
        )
    rows, columns = matrix.nonzero()
    return rows, columns


def _match(found: pd.Index, names: pd.Index, tables: NameTables) -> sp.csr_matrix:
    """Return True where a name is that of a gene, ``(n_found, n_names)``."""
    if tables.orthologs is None:
        matrix, through = _match_all(found, names), None
    else:
        theirs = "genes of the embedding"
        through = gene_pairs(tables.orthologs, "orthologs", "the named genes", theirs)
        matrix = _match_all(found, names, through)
    if tables.aliases is None:
        return matrix
    one = gene_pairs(tables.aliases, "aliases", "old names", "new names")
    other = one.iloc[:, ::-1].set_axis(one.columns, axis=1)
    both = pd.concat([one, other], ignore_index=True)
    targets = names if through is None else pd.Index(through.iloc[:, 0].unique())
    renamed = _match_all(found, targets, both)
    if through is not None:
        renamed = renamed @ _match_all(targets, names, through)
    # A name that is known keeps its meaning.
    unknown = sp.csr_matrix((np.diff(matrix.indptr) == 0)[:, None])
    return (matrix + renamed.multiply(unknown)).astype(bool).tocsr()


def _match_all(
    found: pd.Index, names: pd.Index, table: pd.DataFrame | None = None
) -> sp.csr_matrix:
    """Match names, each as if it were alone: GAD1 and Gad1 are both GAD1.

    One match takes no further names of a gene at a later step, as counts are summed; labels are
    not. So names that are left are matched again.
    """
    total = sp.csr_matrix((len(found), len(names)), dtype=bool)
    left = np.arange(len(found))
    while len(left):
        some = found[left]
        match = match_genes(some, names) if table is None else match_through(some, names, table)
        new = np.flatnonzero(np.diff(match.matrix.indptr))
        if not len(new):
            break
        rows, columns = match.matrix.nonzero()
        total = total + incidence(left[rows], columns, total.shape)
        left = np.delete(left, new)
    return total.tocsr()


def _too_few(
    found: pd.Index, known: np.ndarray, genes: GeneVectors, tables: NameTables, what: str
) -> str:
    ids, others = are_ensembl(found), are_ensembl(genes.names)
    kinds = {True: "Ensembl ids", False: "symbols"}
    if ids != others and tables.orthologs is None:
        return (
            f"Expected {what} and {genes.where} to name genes alike, found {kinds[ids]} in {what} "
            f"({examples(found)}) and {kinds[others]} in {genes.where} ({examples(genes.names)}). "
            + _remedy(found, genes)
        )
    column = "the first column must have the named genes, the second those of the embedding"
    return (
        f"Expected at least half of the genes in {what} in {genes.where}, found {int(known.sum())} "
        f"of {len(found)}; unknown are for example {examples(found[~known])}, the embedding has "
        f"{examples(genes.names)}. "
        + (f"Check orthologs=: {column}." if tables.orthologs is not None else "")
        + (
            f"Pass aliases= or orthologs=, or leave out genes that {genes.where} lacks."
            if tables.orthologs is None
            else ""
        )
    )


def _remedy(found: pd.Index, genes: GeneVectors) -> str:
    """Return how to give the names of `found`: a column of the data, or a table."""
    matched = {}
    for column, values in genes.other_names.items():
        names = pd.Index(values.dropna().astype(str).unique())
        in_any = np.diff(match_genes(found, names).matrix.indptr) > 0
        matched[str(column)] = int(in_any.sum())
    best = max(matched, key=lambda c: matched[c], default=None)
    if best is None or not matched[best]:
        return "Pass aliases=, a table with both names of each gene."
    owner, _, attribute = genes.where.rpartition(".")
    column = f"{owner}.{attribute[:3]}[{best!r}]"
    return f"Pass `aliases=dict(zip({column}, {genes.where}))` ({matched[best]} genes match)."
