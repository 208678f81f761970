"""Gene activity: accessibility of the peaks of each gene."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from scmomer.model._names import parse_peaks
from scmomer.pp._examples import examples

_COLUMNS = ["chrom", "start", "end"]
_PLACE = r"^(.+)[:_-](\d+)[-_](\d+)$"


def linked_peaks(atac: AnnData, gene_names: pd.Index, linked_key: str) -> sp.csr_matrix:
    """Say which gene each peak is linked to, from a column of ``var``.

    Parameters
    ----------
    atac
        ``var[linked_key]`` names a gene per peak, or nothing.
    gene_names
        Genes of the RNA, ``(n_genes,)``, unique.
    linked_key
        Column of ``atac.var``.

    Returns
    -------
    csr_matrix
        1 where a peak belongs to a gene, ``(n_peaks, n_genes)``.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If it names no gene of the RNA.
    """
    if linked_key not in atac.var:
        msg = (
            f"Expected a column {linked_key!r} in atac.var that names the gene of each peak, found "
            f"{list(atac.var.columns)}. Name it in linked_key=, or give coordinates of genes "
            "(genes=, a DataFrame with columns 'chrom', 'start' and 'end')."
        )
        raise KeyError(msg)
    linked = atac.var[linked_key].astype(object)
    gene = gene_names.get_indexer(pd.Index(linked))
    peak = np.flatnonzero(gene >= 0)
    if not len(peak):
        msg = (
            f"Expected genes of rna.var_names ({examples(gene_names)}) in atac.var[{linked_key!r}], "
            f"found none of them: it has {examples(pd.unique(linked.dropna()))}. "
            "Check species and naming (symbols or Ensembl ids)."
        )
        raise ValueError(msg)
    return _links(peak, gene[peak], (atac.n_vars, len(gene_names)))


def nearby_peaks(
    atac: AnnData, gene_names: pd.Index, genes: pd.DataFrame, upstream: int
) -> sp.csr_matrix:
    """Say which peaks overlap each gene or lie just upstream of it.

    Parameters
    ----------
    atac
        Peaks are named by their place.
    gene_names
        Genes of the RNA, ``(n_genes,)``, unique.
    genes
        ``chrom``, ``start``, ``end`` per gene, optional ``strand`` (``+`` or ``-``); names are the
        index, and may repeat (transcripts).
    upstream
        Base pairs before the start of a gene; on both sides without strand.

    Returns
    -------
    csr_matrix
        1 where a peak belongs to a gene, ``(n_peaks, n_genes)``.

    Raises
    ------
    KeyError
        If `genes` lacks a column.
    ValueError
        If peaks have no coordinates, no gene is common, or no peak is near one.
    """
    windows = _windows(genes, gene_names, upstream)
    parse_peaks(atac.var_names)  # refuses those without coordinates
    peaks = atac.var_names.to_series().astype(str).str.extract(_PLACE)
    peaks = peaks.set_axis(_COLUMNS, axis=1).astype({"start": np.int64, "end": np.int64})
    window, peak = _overlaps(windows, peaks)
    if not len(peak):
        msg = (
            f"Expected peaks within {upstream} base pairs of genes, found none: peaks are such as "
            f"{examples(atac.var_names)}, genes on {examples(pd.unique(windows['chrom']))}. "
            "Check that both use the same genome and the same names of chromosomes."
        )
        raise ValueError(msg)
    gene = gene_names.get_indexer(windows.index)[window]
    return _links(peak, gene, (atac.n_vars, len(gene_names)))


def _links(peak: NDArray[np.intp], gene: NDArray[np.intp], shape: tuple[int, int]) -> sp.csr_matrix:
    """Return 1 for each pair of a peak and a gene, however often it occurs."""
    links = sp.csr_matrix((np.ones(len(peak), np.float32), (peak, gene)), shape=shape)
    links.data[:] = 1  # the constructor summed transcripts of a gene
    return links


def _windows(genes: pd.DataFrame, gene_names: pd.Index, upstream: int) -> pd.DataFrame:
    """Return ``chrom``, ``start``, ``end`` of genes of the RNA with what lies upstream."""
    if absent := [column for column in _COLUMNS if column not in genes]:
        msg = (
            f"Expected columns {_COLUMNS} in genes, found {list(genes.columns)}, without {absent}. "
            "Rename them; gene names are the index."
        )
        raise KeyError(msg)
    known = genes[genes.index.isin(gene_names)]
    known = known[known[_COLUMNS].notna().all(axis=1)]
    if known.empty:
        msg = (
            f"Expected coordinates for genes of rna.var_names ({examples(gene_names)}) in genes, "
            f"found none: its index has {examples(genes.index)}. Use gene names as the index, and "
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


def _overlaps(
    windows: pd.DataFrame, peaks: pd.DataFrame
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return positions of windows and of peaks that share a base, ``(n_overlaps,)`` each.

    Chromosomes lie one after another on a single axis, where two binary searches bound the peaks
    that can overlap a window: those from the first that ends after its start (peaks may contain
    each other: the running maximum of ends never decreases) to the last that starts before its end.
    """
    chroms = pd.Index(pd.unique(peaks["chrom"]))
    windows_chrom = chroms.get_indexer(windows["chrom"])
    on = np.flatnonzero(windows_chrom >= 0)
    length = int(peaks["end"].max()) + 1
    offset = chroms.get_indexer(peaks["chrom"]) * length
    order = np.argsort(offset + peaks["start"].to_numpy(), kind="stable")
    start, end = ((offset + peaks[c].to_numpy())[order] for c in ("start", "end"))
    low, high = (
        windows_chrom[on] * length + windows[c].to_numpy()[on].clip(0, length)
        for c in ("start", "end")
    )
    first = np.searchsorted(np.maximum.accumulate(end), low, side="right")
    count = np.maximum(np.searchsorted(start, high, side="left") - first, 0)
    window = np.repeat(np.arange(len(on)), count)
    within = np.arange(len(window)) - np.repeat(np.cumsum(count) - count, count)
    peak = np.repeat(first, count) + within
    hit = end[peak] > low[window]
    return on[window[hit]], order[peak[hit]]
