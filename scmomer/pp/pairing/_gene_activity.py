"""Gene activity: summed accessibility of the peaks of each gene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scmomer.data import (
    GeneSource,
    check_chromosomes,
    examples,
    gene_positions,
    parse_peaks,
    peaks_within,
)


def linked_peaks(atac: AnnData, gene_names: pd.Index, linked_key: str) -> sp.csr_matrix:
    """Return which gene each peak is linked to, from a column of ``var``.

    Parameters
    ----------
    atac
        ``var[linked_key]`` has the gene of each peak, or a missing value.
    gene_names
        Unique names of RNA genes, ``(n_genes,)``.
    linked_key
        Column of ``atac.var``.

    Returns
    -------
    csr_matrix
        1 where a peak belongs to a gene, ``(n_peaks, n_genes)``.

    Raises
    ------
    KeyError
        If the column does not exist.
    ValueError
        If it contains no RNA gene.
    """
    if linked_key not in atac.var:
        msg = (
            f"Expected a column {linked_key!r} in atac.var with the gene of each peak, found "
            f"{list(atac.var.columns)}. Set linked_key=, or pass gene coordinates "
            "(genes=, a DataFrame with columns 'chrom', 'start' and 'end')."
        )
        raise KeyError(msg)
    linked = atac.var[linked_key].astype(object)
    gene = gene_names.get_indexer(pd.Index(linked))
    peak = np.flatnonzero(gene >= 0)
    if not len(peak):
        msg = (
            f"Expected genes of rna.var_names ({examples(gene_names)}) in "
            f"atac.var[{linked_key!r}], "
            f"found none: it has {examples(pd.unique(linked.dropna()))}. "
            "Check species and naming (symbols or Ensembl ids)."
        )
        raise ValueError(msg)
    return _links(peak, gene[peak], (atac.n_vars, len(gene_names)))


def nearby_peaks(
    atac: AnnData, gene_names: pd.Index, genes: GeneSource, upstream: int
) -> sp.csr_matrix:
    """Return which peaks overlap each gene or lie just upstream of it.

    Parameters
    ----------
    atac
        Peak names are coordinates.
    gene_names
        Unique names of RNA genes, ``(n_genes,)``.
    genes
        As in :func:`scmomer.data.gene_positions`; gene names may repeat (transcripts).
    upstream
        Base pairs before the start of a gene; on both sides if the strand is unknown.

    Returns
    -------
    csr_matrix
        1 where a peak belongs to a gene, ``(n_peaks, n_genes)``.

    Raises
    ------
    KeyError
        If `genes` lacks a column.
    ValueError
        If peaks have no coordinates, no gene is shared, or no peak is near a gene.
    """
    at = gene_positions(gene_names, genes, where="rna")
    peaks = parse_peaks(atac.var_names)
    check_chromosomes(at, peaks)
    before, after = upstream * (at.strand >= 0), upstream * (at.strand <= 0)
    window, peak = peaks_within(replace(at, start=at.start - before, end=at.end + after), peaks)
    if not len(peak):
        msg = (
            f"No peak is within {upstream} base pairs of a gene: peaks are "
            f"{examples(atac.var_names)}, genes are on {examples(at.chromosomes)}. "
            "Check that both use the same genome, or raise upstream=."
        )
        raise ValueError(msg)
    return _links(peak, at.gene[window], (atac.n_vars, len(gene_names)))


def _links(peak: np.ndarray, gene: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """Return 1 for each pair of a peak and a gene, also if the pair occurs several times."""
    links = sp.csr_matrix((np.ones(len(peak), np.float32), (peak, gene)), shape=shape)
    links.data[:] = 1  # the constructor summed transcripts of a gene
    return links
