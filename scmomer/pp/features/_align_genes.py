"""Counts of genes in the order and naming of a vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer._constants import RNA
from scmomer.data import examples, prefix_to_drop
from scmomer.pp.features._features import Features, check_anndata, feature_names
from scmomer.pp.features._match_genes import GeneMatch, match_genes, match_through
from scmomer.pp.features._remap import remap
from scmomer.pp.features._report import report

Orthologues: TypeAlias = pd.DataFrame | Mapping[str, str | Sequence[str]]


def align_genes(
    adata: AnnData,
    vocabulary: Features,
    *,
    gene_key: str | None = None,
    orthologues: Orthologues | None = None,
    layer: str | None = None,
) -> AnnData:
    """Bring RNA counts into a gene vocabulary.

    A query matches a model by names as they are written; this also matches Ensembl ids of other
    versions, symbols in other case (GAD1, Gad1), names in a column of var, and orthologues.

    Parameters
    ----------
    adata
        Raw counts of genes. Is left as it is.
    vocabulary
        The genes to count on: names, an AnnData with such var_names, or a model.
    gene_key
        Column of ``adata.var`` with the names to match; None for var_names.
    orthologues
        Which gene of `adata` is which of the vocabulary: a table of two columns, or a mapping to one
        or several. Genes that are not in it are left out, even if their names match.
    layer
        Layer that holds the counts; None for ``X``.

    Returns
    -------
    AnnData
        Shape ``(n_obs, n_vocabulary)`` in the order of `vocabulary`, whose names ``var_names`` are.
        CSR with the dtype of the counts (a wider integer if sums might not fit). obs, obsm, obsp
        and uns are copied, without the ids of a registration with scvi-tools; layers, varm, varp
        and raw are dropped. Entries without a gene are empty.

    Raises
    ------
    KeyError
        If there is no such layer or column of var.
    TypeError
        If an argument is of the wrong kind, or the matrix holds no numbers.
    ValueError
        If no gene is shared, names occur twice in var_names or the vocabulary, the table does not
        have two columns, or values are not raw counts.

    Warns
    -----
    UserWarning
        If less than a fifth of the vocabulary got a gene.

    Notes
    -----
    A name matches as it is written, else without spaces around it and the version of an Ensembl id,
    else in upper case.
    An entry with a match of one kind takes none of the next: with GAD1 in the vocabulary and both
    GAD1 and Gad1 in the data, Gad1 is left out. Several genes that match one entry in the same way
    (two versions of an id, a symbol that several ids share) are summed; a gene that fits several
    entries counts in none; one with several orthologues counts in each. A line says how many genes
    met each fate.

    Examples
    --------
    >>> query = scmomer.pp.align_genes(rna, model, gene_key="gene_symbols")
    >>> scmomer.tl.embed(query, model)
    """
    check_anndata(adata, RNA, layer)
    names = feature_names(vocabulary, RNA, "vocabulary")
    found = _genes_of(adata, gene_key)
    if orthologues is None:
        match = match_genes(found, names)
    else:
        match = match_through(found, names, _table(orthologues))
    if match.matrix.nnz == 0:
        raise ValueError(_nothing_in_common(adata, gene_key, found, names, orthologues))
    aligned = remap(adata, match.matrix, pd.DataFrame(index=pd.Index(names, name=None)), layer)
    _report(match, found, names)
    return aligned


def _genes_of(adata: AnnData, gene_key: str | None) -> pd.Index:
    """Return the name of each gene, ``""`` where there is none, ``(n_vars,)``."""
    if gene_key is None:
        return adata.var_names.astype(str)
    if gene_key not in adata.var:
        msg = f"Expected column {gene_key!r} in adata.var, found {adata.var.columns.tolist()}."
        raise KeyError(msg)
    return _strings(adata.var[gene_key])


def _strings(column: pd.Series) -> pd.Index:
    values = column.astype(object)
    return pd.Index(values.where(values.notna(), "").astype(str), name=None)


def _table(orthologues: Orthologues) -> pd.DataFrame:
    """Return pairs of names, ``(n_pairs, 2)``, none of them missing."""
    if isinstance(orthologues, Mapping):
        pairs = pd.DataFrame(list(orthologues.items()), columns=["query", "vocabulary"])
        orthologues = pairs.explode("vocabulary")
    if not isinstance(orthologues, pd.DataFrame):
        msg = (
            "Expected orthologues to be a DataFrame of two columns or a mapping, from a gene of "
            f"adata to one of the vocabulary, found {type(orthologues).__name__}."
        )
        raise TypeError(msg)
    if orthologues.shape[1] != 2:
        msg = (
            "Expected orthologues to have two columns, the gene of adata and that of the "
            f"vocabulary, found {orthologues.columns.tolist()}. Select them, as in "
            f"`orthologues = orthologues[{orthologues.columns[:2].tolist()}]`."
        )
        raise ValueError(msg)
    return orthologues.dropna().astype(str)


def _nothing_in_common(
    adata: AnnData,
    gene_key: str | None,
    found: pd.Index,
    names: pd.Index,
    orthologues: Orthologues | None,
) -> str:
    where = "adata.var_names" if gene_key is None else f"adata.var[{gene_key!r}]"
    text = (
        f"Expected genes of the vocabulary such as {examples(names)} in {where}, found none of its "
        f"{len(names)} among {len(found)} (such as {examples(found)}). "
    )
    if orthologues is not None:
        table = _table(orthologues)
        left, right = (pd.Index(table.iloc[:, i].unique()) for i in (0, 1))
        return text + (
            f"Of the table's {len(left)} genes in the first column "
            f"{_n_matched(left, found)} are in adata, of {len(right)} in the second "
            f"{_n_matched(right, names)} are in the vocabulary. The data's genes come first."
        )
    shared = {key: _n_matched(_strings(adata.var[key]), names) for key in adata.var}
    better = [f"gene_key={key!r} ({n} match)" for key, n in shared.items() if n]
    if better:
        return text + f"Pass {' or '.join(better)}."
    if line := prefix_to_drop(found, names, where):
        return text + f"Names of one side begin with a prefix: run {line}."
    return text + "Check species (orthologues=) and naming (symbols or Ensembl ids, gene_key=)."


def _n_matched(found: pd.Index, names: pd.Index) -> int:
    return int((np.diff(match_genes(found, names).matrix.indptr) > 0).sum())


def _report(match: GeneMatch, found: pd.Index, names: pd.Index) -> None:
    n_genes = np.bincount(match.matrix.indices, minlength=len(names))  # in each entry
    used = np.diff(match.matrix.indptr) > 0
    matched, summed, n_unclear = int((n_genes > 0).sum()), n_genes > 1, int(match.unclear.sum())
    text = (
        f"{matched} of the vocabulary's {len(names)} genes found ({matched / len(names):.0%}); "
        f"{len(names) - matched} missing ones are empty, {int((~used).sum())} of {len(found)} genes "
        "are left out"
    )
    if n_unclear:
        text += (
            f", {n_unclear} of them as they fit several entries ({examples(found[match.unclear])})"
        )
    if summed.any():
        text += (
            f"; entries that are sums of several genes: {int(summed.sum())} "
            f"({examples(names[summed])})"
        )
    report(f"{text}.", matched / len(names))
