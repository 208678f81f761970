"""Counts in genomic bins."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer._constants import ATAC
from scmomer.data import PeakPositions, incidence
from scmomer.pp.features._features import Features, check_anndata, feature_names
from scmomer.pp.features._overlap import (
    check_share,
    interval_var,
    match_intervals,
    read_peaks,
    report_overlap,
)
from scmomer.pp.features._remap import remap


def bin_genome(
    adata: AnnData,
    width: int = 5000,
    *,
    reference: Features | None = None,
    min_share: float = 0.1,
    layer: str | None = None,
) -> AnnData:
    """Count in genomic bins of equal width, independent of the peak set.

    Use it to give data with different peaks the same features: bin both and join them
    (``anndata.concat(..., join="inner")`` or ``"outer"``), or bin the second with the first as
    `reference`. Bins start at multiples of `width` from base 0.

    Parameters
    ----------
    adata
        Raw counts of peaks, named as in :func:`align_peaks`. Not modified.
    width
        Bin width in bases.
    reference
        Bins or peaks (names, an AnnData or a model): the result has the bins with their centers and
        their chromosome names. None for the bins of the peaks of `adata`.
    min_share
        Minimum share of the peaks of `adata` that must be in a bin of `reference`.
    layer
        Layer with the counts; None for ``X``.

    Returns
    -------
    AnnData
        Shape ``(n_obs, n_bins)``, bins in natural order (chr2 before chr10), named
        ``chr1:0-5000``. Each peak counts once, in the bin of its center, so that without
        `reference` the total of each cell does not change. Only bins with a peak are included; the
        last bin of a chromosome may extend beyond its end. Otherwise as in :func:`align_peaks`:
        CSR, ``chrom``, ``start`` and ``end`` in var, layers dropped.

    Raises
    ------
    KeyError
        If the layer does not exist.
    TypeError
        If an argument is of the wrong kind, or the matrix is not numeric.
    ValueError
        If `width` is not a positive integer, or for the reasons in :func:`align_peaks`.

    Examples
    --------
    >>> a = scmomer.pp.bin_genome(atac)
    >>> b = scmomer.pp.bin_genome(other_atac, reference=a)
    """
    if not isinstance(width, int | np.integer) or isinstance(width, bool) or width < 1:
        msg = f"Expected width to be a whole number of bases, at least 1, found {width!r}."
        raise ValueError(msg)
    check_share(min_share)
    check_anndata(adata, ATAC, layer)
    query = read_peaks(adata.var_names, "adata.var_names")
    source = query
    if reference is not None:
        source = read_peaks(feature_names(reference, ATAC, "reference"), "reference")
    bins = _get_bins(source, width)
    pairs = match_intervals(query, bins, "center", 1, min_share, "reference")
    names = _bin_names(bins)
    matrix = incidence(*pairs, shape=(adata.n_vars, len(names)))
    binned = remap(adata, matrix, interval_var(bins, names), layer)
    report_overlap(pairs, adata.n_vars, len(names), f"bins of {width} bases")
    return binned


def _get_bins(peaks: PeakPositions, width: int) -> PeakPositions:
    """Return the bins with the centers of peaks, in natural order."""
    number = (peaks.start + peaks.end) // 2 // width
    chromosome, number = np.unique(np.stack([peaks.chromosome, number]), axis=1)
    return PeakPositions(chromosome, number * width, (number + 1) * width, peaks.chromosomes)


def _bin_names(bins: PeakPositions) -> pd.Index:
    start, end = (pd.Index(x).astype(str) for x in (bins.start, bins.end))
    return bins.chromosomes[bins.chromosome] + ":" + start + "-" + end
