"""Gene activity: summed accessibility of the peaks of each gene."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scmomer.data import PeakPositions, examples, parse_peaks
from scmomer.module import IntervalPairs, Spans, overlapping

_COLUMNS = ["chrom", "start", "end"]


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
    atac: AnnData, gene_names: pd.Index, genes: pd.DataFrame, upstream: int
) -> sp.csr_matrix:
    """Return which peaks overlap each gene or lie just upstream of it.

    Parameters
    ----------
    atac
        Peak names are coordinates.
    gene_names
        Unique names of RNA genes, ``(n_genes,)``.
    genes
        ``chrom``, ``start``, ``end`` of each gene, optionally ``strand`` (``+`` or ``-``). The
        index has gene names, which may repeat (transcripts).
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
    windows = _windows(genes, gene_names, upstream)
    window, peak = _overlaps(windows, parse_peaks(atac.var_names))
    if not len(peak):
        msg = (
            f"No peak is within {upstream} base pairs of a gene: peaks are "
            f"{examples(atac.var_names)}, genes are on {examples(pd.unique(windows['chrom']))}. "
            "Check that both use the same genome and the same chromosome names."
        )
        raise ValueError(msg)
    gene = gene_names.get_indexer(windows.index)[window]
    return _links(peak, gene, (atac.n_vars, len(gene_names)))


def _links(peak: np.ndarray, gene: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """Return 1 for each pair of a peak and a gene, also if the pair occurs several times."""
    links = sp.csr_matrix((np.ones(len(peak), np.float32), (peak, gene)), shape=shape)
    links.data[:] = 1  # the constructor summed transcripts of a gene
    return links


def _windows(genes: pd.DataFrame, gene_names: pd.Index, upstream: int) -> pd.DataFrame:
    """Return ``chrom``, ``start``, ``end`` of RNA genes, extended upstream."""
    if absent := [column for column in _COLUMNS if column not in genes]:
        msg = (
            f"Expected columns {_COLUMNS} in genes, found {list(genes.columns)}, without {absent}. "
            "Rename the columns; the index has the gene names."
        )
        raise KeyError(msg)
    known = genes[genes.index.isin(gene_names)]
    known = known[known[_COLUMNS].notna().all(axis=1)]
    if known.empty:
        msg = (
            f"Expected coordinates for genes of rna.var_names ({examples(gene_names)}) in genes, "
            f"found none: its index has {examples(genes.index)}. Use gene names as the index and "
            "check species and naming (symbols or Ensembl ids)."
        )
        raise ValueError(msg)
    strand = known["strand"].astype(str) if "strand" in known else pd.Series("", known.index)
    start, end = (known[column].to_numpy(np.int64) for column in ("start", "end"))
    return pd.DataFrame(
        {
            "chrom": known["chrom"].astype(str),
            "start": start - upstream * (strand != "-").to_numpy(),
            "end": end + upstream * (strand != "+").to_numpy(),
        }
    )


def _overlaps(windows: pd.DataFrame, peaks: PeakPositions) -> IntervalPairs:
    """Return which windows and peaks share a base on chromosomes of the same name."""
    chromosome = peaks.chromosomes.get_indexer(windows["chrom"])
    on = np.flatnonzero(chromosome >= 0)
    # All chromosomes on one line; clipped, so that no window reaches into the chromosome before.
    length = int(peaks.end.max()) + 1
    start, end = (
        chromosome[on] * length + windows[c].to_numpy()[on].clip(0, length)
        for c in ("start", "end")
    )
    before = peaks.chromosome * length
    places = Spans(before + peaks.start, before + peaks.end)
    window, peak = overlapping(Spans(start, end), places, min_overlap=0)  # a peak may be empty
    return IntervalPairs(on[window], peak)
