"""Map counts of one peak set to another."""

from __future__ import annotations

from typing import get_args

import numpy as np
from anndata import AnnData

from scmomer._constants import ATAC
from scmomer._deprecated import warn_renamed
from scmomer.data import incidence
from scmomer.pp.features._features import Features, check_anndata, feature_names
from scmomer.pp.features._overlap import (
    How,
    check_share,
    interval_var,
    match_intervals,
    read_peaks,
    report_overlap,
)
from scmomer.pp.features._remap import remap


def align_peaks(
    adata: AnnData,
    peaks: Features,
    *,
    how: How = "overlap",
    min_overlap: int = 1,
    min_share: float = 0.1,
    layer: str | None = None,
) -> AnnData:
    """Map ATAC counts to another peak set.

    Use it to query a trained model with data of other peaks. Intervals are half-open as in BED
    files: ``chr1:100-200`` and ``chr1:200-300`` do not overlap.

    Parameters
    ----------
    adata
        Raw counts of peaks, named ``chr1:100-200``, ``chr1-100-200`` or ``chr1_100_200``, with or
        without ``chr``, in any order. Not modified.
    peaks
        The target peaks: names, an AnnData (its var_names) or a model.
    how
        * ``"overlap"``: a peak counts in each target peak that it overlaps. Several peaks on one
          target are summed; a peak on several targets counts in each, so totals may grow.
        * ``"center"``: a peak counts in the target peak that contains its center (of several, the
          one with the nearest center), so it counts at most once.
    min_overlap
        Minimum number of shared bases, for ``how="overlap"``.
    min_share
        Minimum share of the peaks of `adata` that must match a target peak. A lower share suggests
        another assembly.
    layer
        Layer with the counts; None for ``X``.

    Returns
    -------
    AnnData
        Shape ``(n_obs, n_target_peaks)`` in the order of `peaks`, CSR with the dtype of the counts
        (a wider integer if sums might not fit; booleans stay booleans). ``var`` has the names
        of `peaks` and columns ``chrom``, ``start``, ``end``. obs, obsm, obsp and uns are
        copied, without the ids of a registration with scvi-tools; layers, varm, varp and raw are
        dropped. Target peaks without a match are 0.

    Raises
    ------
    KeyError
        If the layer does not exist.
    TypeError
        If an argument is of the wrong kind, or the matrix is not numeric.
    ValueError
        If less than `min_share` of the peaks match, no chromosome is shared, names are not
        intervals, are empty intervals or are not unique, values are not raw counts, or `how`,
        `min_overlap` or `min_share` is invalid.

    Warns
    -----
    UserWarning
        If less than a fifth of the target peaks are matched, or little more peaks match than by
        chance.

    Examples
    --------
    >>> query = scmomer.pp.align_peaks(atac, model)
    >>> scmomer.tl.embed(query, model)
    """
    if how == "centre":
        warn_renamed("how='centre'", "how='center'")
        how = "center"
    _check_arguments(how, min_overlap, min_share)
    check_anndata(adata, ATAC, layer)
    names = feature_names(peaks, ATAC, "peaks")
    query, target = read_peaks(adata.var_names, "adata.var_names"), read_peaks(names, "peaks")
    pairs = match_intervals(query, target, how, min_overlap, min_share, "peaks")
    matrix = incidence(*pairs, shape=(adata.n_vars, len(names)))
    aligned = remap(adata, matrix, interval_var(target, names), layer)
    report_overlap(pairs, adata.n_vars, len(names), "target peaks")
    return aligned


def _check_arguments(how: How, min_overlap: int, min_share: float) -> None:
    if how not in get_args(How):
        msg = f"Expected how to be one of {list(get_args(How))}, found {how!r}."
        raise ValueError(msg)
    whole = isinstance(min_overlap, int | np.integer) and not isinstance(min_overlap, bool)
    if not whole or min_overlap < 1:
        msg = f"Expected min_overlap of a whole number of bases, at least 1, found {min_overlap!r}."
        raise ValueError(msg)
    if how == "center" and min_overlap != 1:
        msg = (
            f"Expected min_overlap=1 with how='center', which uses only centers, found "
            f"{min_overlap}. Drop min_overlap=, or pass how='overlap'."
        )
        raise ValueError(msg)
    check_share(min_share)
