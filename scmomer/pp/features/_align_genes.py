"""Map gene counts to a vocabulary."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer._constants import RNA
from scmomer._deprecated import renamed_arguments
from scmomer.data import (
    GeneMatch,
    GeneTable,
    Profile,
    check_profile,
    examples,
    gene_pairs,
    match_genes,
    match_through,
    prefix_to_drop,
)
from scmomer.pp.features._features import Features, check_anndata, feature_names
from scmomer.pp.features._remap import remap
from scmomer.pp.features._report import report


@renamed_arguments(orthologues="orthologs")
def align_genes(
    adata: AnnData,
    vocabulary: Features,
    *,
    gene_key: str | None = None,
    orthologs: GeneTable | None = None,
    layer: str | None = None,
    profile: Profile = "counts",
) -> AnnData:
    """Map RNA counts to a gene vocabulary.

    A query is matched to a model by exact names. This function also matches Ensembl ids of another
    version, symbols in another case (GAD1, Gad1), names in a column of var, and orthologs.

    Parameters
    ----------
    adata
        Raw counts of genes. Not modified.
    vocabulary
        The target genes: names, an AnnData (its var_names) or a model.
    gene_key
        Column of ``adata.var`` with the names to match; None for var_names.
    orthologs
        Orthologs of the genes of `adata` in the vocabulary: a table of two columns, or a mapping to
        one or several genes. Genes that are not in it are left out, even if their names match.
    layer
        Layer with the counts; None for ``X``.
    profile
        What the values are, as in :meth:`scmomer.SCMOMER.get_latent_representation`. They stay what
        they are; genes that match one entry are averaged if they are not counts.

    Returns
    -------
    AnnData
        Shape ``(n_obs, n_vocabulary)`` with the names and order of `vocabulary`. CSR with the dtype
        of the counts (a wider integer if sums might not fit). obs, obsm, obsp and uns are copied,
        without the ids of a registration with scvi-tools; layers, varm, varp and raw are dropped.
        Vocabulary entries without a gene are 0.

    Raises
    ------
    KeyError
        If the layer or column of var does not exist.
    TypeError
        If an argument is of the wrong kind, or the matrix is not numeric.
    ValueError
        If no gene is shared, var_names or the vocabulary has duplicates, the table does not have
        two columns, or values are not raw counts.

    Warns
    -----
    UserWarning
        If less than a fifth of the vocabulary is matched.

    Notes
    -----
    Names are matched exactly; then without surrounding spaces and Ensembl versions;
    then in upper case. An entry that is matched at one step takes no match of the next: with GAD1
    in the vocabulary and both GAD1 and Gad1 in the data, Gad1 is left out. Several genes that match
    one entry at the same step (two versions of an id, several ids of one symbol) are summed. A gene
    that matches several entries counts in none; a gene with several orthologs counts in each. One
    log line has the number of genes in each case.

    Examples
    --------
    >>> query = scmomer.pp.align_genes(rna, model, gene_key="gene_symbols")
    >>> scmomer.tl.embed(query, model)
    """
    check_profile(profile)
    check_anndata(adata, RNA, layer)
    names = feature_names(vocabulary, RNA, "vocabulary")
    found = _genes_of(adata, gene_key)
    if orthologs is None:
        match = match_genes(found, names)
    else:
        match = match_through(found, names, gene_pairs(orthologs, "orthologs"))
    if match.matrix.nnz == 0:
        raise ValueError(_nothing_in_common(adata, gene_key, found, names, orthologs))
    aligned = remap(
        adata, match.matrix, pd.DataFrame(index=pd.Index(names, name=None)), layer, profile
    )
    _report(match, found, names)
    return aligned


def _genes_of(adata: AnnData, gene_key: str | None) -> pd.Index:
    """Return the name of each gene, ``""`` where it is missing, ``(n_vars,)``."""
    if gene_key is None:
        return adata.var_names.astype(str)
    if gene_key not in adata.var:
        msg = f"Expected column {gene_key!r} in adata.var, found {adata.var.columns.tolist()}."
        raise KeyError(msg)
    return _strings(adata.var[gene_key])


def _strings(column: pd.Series) -> pd.Index:
    values = column.astype(object)
    return pd.Index(values.where(values.notna(), "").astype(str), name=None)


def _nothing_in_common(
    adata: AnnData,
    gene_key: str | None,
    found: pd.Index,
    names: pd.Index,
    orthologs: GeneTable | None,
) -> str:
    where = "adata.var_names" if gene_key is None else f"adata.var[{gene_key!r}]"
    text = (
        f"Expected genes of the vocabulary such as {examples(names)} in {where}, found none of "
        f"{len(names)} among {len(found)} genes such as {examples(found)}. "
    )
    if orthologs is not None:
        table = gene_pairs(orthologs, "orthologs")
        left, right = (pd.Index(table.iloc[:, i].unique()) for i in (0, 1))
        return text + (
            f"In the table, {_n_matched(left, found)} of {len(left)} genes in the first "
            "column are in "
            f"adata, {_n_matched(right, names)} of {len(right)} in the second are in the "
            "vocabulary. "
            "The first column must have the genes of adata."
        )
    shared = {key: _n_matched(_strings(adata.var[key]), names) for key in adata.var}
    better = [f"gene_key={key!r} ({n} match)" for key, n in shared.items() if n]
    if better:
        return text + f"Pass {' or '.join(better)}."
    if line := prefix_to_drop(found, names, where):
        return text + f"The names of one side have a prefix: run {line}."
    return text + "Check species (orthologs=) and naming (symbols or Ensembl ids, gene_key=)."


def _n_matched(found: pd.Index, names: pd.Index) -> int:
    return int((np.diff(match_genes(found, names).matrix.indptr) > 0).sum())


def _report(match: GeneMatch, found: pd.Index, names: pd.Index) -> None:
    n_genes = np.bincount(match.matrix.indices, minlength=len(names))  # in each entry
    used = np.diff(match.matrix.indptr) > 0
    matched, summed, n_unclear = int((n_genes > 0).sum()), n_genes > 1, int(match.unclear.sum())
    text = (
        f"{matched} of {len(names)} vocabulary genes found ({matched / len(names):.0%}); "
        f"{len(names) - matched} missing genes are set to 0, {int((~used).sum())} of {len(found)} "
        "genes of the data are left out"
    )
    if n_unclear:
        text += (
            f", {n_unclear} of them because they match several genes "
            f"({examples(found[match.unclear])})"
        )
    if summed.any():
        text += (
            f"; vocabulary genes that are sums of several genes: {int(summed.sum())} "
            f"({examples(names[summed])})"
        )
    report(f"{text}.", matched / len(names))
