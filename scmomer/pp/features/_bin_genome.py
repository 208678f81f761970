"""Counts in bins of the genome."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer._constants import ATAC
from scmomer.data import PeakPositions
from scmomer.pp.features._features import Features, check_anndata, feature_names
from scmomer.pp.features._overlap import check_share, interval_var, land, read_peaks, report_landing
from scmomer.pp.features._remap import incidence, remap


def bin_genome(
    adata: AnnData,
    width: int = 5000,
    *,
    reference: Features | None = None,
    min_share: float = 0.1,
    layer: str | None = None,
) -> AnnData:
    """Count in bins of equal width, which do not depend on a peak set.

    Gives data with different peaks the same features: bin both and join them
    (``anndata.concat(..., join="inner")`` or ``"outer"``), or bin the second with the first as
    `reference`. Bins start at multiples of `width` from base 0.

    Parameters
    ----------
    adata
        Raw counts of peaks, named as in :func:`align_peaks`. Is left as it is.
    width
        Bases of a bin.
    reference
        Bins or peaks (names, an AnnData or a model): the result has the bins that hold their
        centres, named by their spelling of chromosomes. None for the bins that hold the peaks of
        `adata`.
    min_share
        Share of the peaks of `adata` that must land on a bin of `reference`.
    layer
        Layer that holds the counts; None for ``X``.

    Returns
    -------
    AnnData
        Shape ``(n_obs, n_bins)``, bins in natural order (chr2 before chr10), named
        ``chr1:0-5000``. Each peak counts once, in the bin of its centre, so that without
        `reference` the total of each cell stays. Only bins with a peak are there, with or without
        counts; the last of a chromosome may reach beyond its end. All else as in
        :func:`align_peaks`: CSR, ``chrom``, ``start`` and ``end`` in var, layers dropped.

    Raises
    ------
    KeyError
        If there is no such layer.
    TypeError
        If an argument is of the wrong kind, or the matrix holds no numbers.
    ValueError
        If `width` is no whole number above 0, or for the reasons in :func:`align_peaks`.

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
    of = query
    if reference is not None:
        of = read_peaks(feature_names(reference, ATAC, "reference"), "reference")
    bins = _bins_of(of, width)
    pairs = land(query, bins, "centre", 1, min_share, "reference")
    names = _names_of(bins)
    matrix = incidence(*pairs, shape=(adata.n_vars, len(names)))
    binned = remap(adata, matrix, interval_var(bins, names), layer)
    report_landing(pairs, adata.n_vars, len(names), f"bins of {width} bases")
    return binned


def _bins_of(peaks: PeakPositions, width: int) -> PeakPositions:
    """Return the bins that hold the centres of peaks, in natural order."""
    number = (peaks.start + peaks.end) // 2 // width
    chromosome, number = np.unique(np.stack([peaks.chromosome, number]), axis=1)
    return PeakPositions(chromosome, number * width, (number + 1) * width, peaks.chromosomes)


def _names_of(bins: PeakPositions) -> pd.Index:
    start, end = (pd.Index(x).astype(str) for x in (bins.start, bins.end))
    return bins.chromosomes[bins.chromosome] + ":" + start + "-" + end
