"""Counts of one peak set on another."""

from __future__ import annotations

from typing import get_args

import numpy as np
from anndata import AnnData

from scmomer._constants import ATAC
from scmomer.pp.features._features import Features, check_anndata, feature_names
from scmomer.pp.features._overlap import (
    How,
    check_share,
    interval_var,
    land,
    read_peaks,
    report_landing,
)
from scmomer.pp.features._remap import incidence, remap


def align_peaks(
    adata: AnnData,
    peaks: Features,
    *,
    how: How = "overlap",
    min_overlap: int = 1,
    min_share: float = 0.1,
    layer: str | None = None,
) -> AnnData:
    """Bring ATAC counts onto another peak set.

    Makes data with peaks of their own a query for a trained model. Intervals are half-open as in
    BED files: ``chr1:100-200`` and ``chr1:200-300`` do not overlap.

    Parameters
    ----------
    adata
        Raw counts of peaks, named ``chr1:100-200``, ``chr1-100-200`` or ``chr1_100_200``, with or
        without ``chr``, in any order. Is left as it is.
    peaks
        The peaks to count on: names, an AnnData with such var_names, or a model.
    how
        * ``"overlap"``: a peak counts in each target that it overlaps. Several peaks on one target
          are summed; a peak on several targets counts in each of them, so totals may grow.
        * ``"centre"``: a peak counts in the target that contains its centre (of several, the one
          whose own centre is nearest), so it counts once at most.
    min_overlap
        Bases that a peak and a target must share, with ``how="overlap"``.
    min_share
        Share of the peaks of `adata` that must land on a target. Less means another assembly.
    layer
        Layer that holds the counts; None for ``X``.

    Returns
    -------
    AnnData
        Shape ``(n_obs, n_target_peaks)`` in the order of `peaks`, CSR with the dtype of the counts
        (a wider integer if sums might not fit; booleans stay booleans). ``var`` has the names as
        `peaks` writes them and columns ``chrom``, ``start``, ``end``. obs, obsm, obsp and uns are
        copied, without the ids of a registration with scvi-tools; layers, varm, varp and raw are
        dropped. Targets without a peak are empty, as are missing peaks in any query.

    Raises
    ------
    KeyError
        If there is no such layer.
    TypeError
        If an argument is of the wrong kind, or the matrix holds no numbers.
    ValueError
        If fewer than `min_share` of the peaks land, no chromosome is shared, names are no
        intervals, end where they start or before, or occur twice, values are not raw counts, or
        `how`, `min_overlap` or `min_share` make no sense.

    Warns
    -----
    UserWarning
        If less than a fifth of the targets got a peak, or hardly more peaks land than would by
        chance.

    Examples
    --------
    >>> query = scmomer.pp.align_peaks(atac, model)
    >>> scmomer.tl.embed(query, model)
    """
    _check_arguments(how, min_overlap, min_share)
    check_anndata(adata, ATAC, layer)
    names = feature_names(peaks, ATAC, "peaks")
    query, target = read_peaks(adata.var_names, "adata.var_names"), read_peaks(names, "peaks")
    pairs = land(query, target, how, min_overlap, min_share, "peaks")
    matrix = incidence(*pairs, shape=(adata.n_vars, len(names)))
    aligned = remap(adata, matrix, interval_var(target, names), layer)
    report_landing(pairs, adata.n_vars, len(names), "target peaks")
    return aligned


def _check_arguments(how: How, min_overlap: int, min_share: float) -> None:
    if how not in get_args(How):
        raise ValueError(f"Expected how to be one of {list(get_args(How))}, found {how!r}.")
    whole = isinstance(min_overlap, int | np.integer) and not isinstance(min_overlap, bool)
    if not whole or min_overlap < 1:
        msg = f"Expected min_overlap to be a whole number of bases, at least 1, found {min_overlap!r}."
        raise ValueError(msg)
    if how == "centre" and min_overlap != 1:
        msg = (
            f"Expected min_overlap=1 with how='centre', which asks for the centre alone, found "
            f"{min_overlap}. Drop it, or pass how='overlap'."
        )
        raise ValueError(msg)
    check_share(min_share)
