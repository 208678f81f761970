"""Differential accessibility of measured or translated ATAC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from scipy import stats

from scmomer.data import (
    Pseudobulk,
    Values,
    get_groups,
    get_peaks,
    get_values,
    peaks_name,
    pseudobulk,
)
from scmomer.tl._copy import Container, own

Method = Literal["proportions", "wilcoxon", "t-test", "t-test_overestim_var", "logreg"]

# Added to both rates of a fold change, so that the fold change is finite if a peak is closed in a
# group. One open cell in ten thousand is below what one cell contributes in most groups.
_PSEUDO_RATE = 1e-4
_DTYPES = {"scores": "float32", "logfoldchanges": "float32"}  # scanpy's; others are float64


def rank_peaks(
    data: Container,
    groupby: str,
    *,
    layer: str | None = None,
    groups: Sequence[str] | Literal["all"] = "all",
    reference: str = "rest",
    method: Method = "proportions",
    key_added: str = "rank_peaks",
    copy: bool = False,
) -> Container | None:
    r"""Rank peaks by differential accessibility between groups of cells.

    Works for measured and for translated ATAC. With rates :math:`p_1, p_0` of a peak in the
    :math:`n_1` cells of a group and the :math:`n_0` cells of the reference, and the rate
    :math:`p` of both combined, the score of ``method="proportions"`` is

    .. math::

        z = \frac{p_1 - p_0}{\sqrt{p (1 - p) (1 / n_1 + 1 / n_0)}}

    and 0 where :math:`p` is 0 or 1. A rate is the share of open cells or the mean probability.

    Parameters
    ----------
    data
        AnnData of peaks, or MuData with an ``atac`` modality. Sparse or dense, in memory or backed.
    groupby
        Column with the group of each cell, looked up in ``data.obs`` and then in the modality's
        obs. Cells without a group are left out.
    layer
        Layer with the values, such as ``"scmomer"``; None for ``X``. Integers are counts, and a
        peak is open where they are above 0. Fractions in ``[0, 1]`` are probabilities, such as
        those of :func:`translate_atac`.
    groups
        Groups to rank peaks for. ``"rest"`` always means all other cells.
    reference
        Group to compare with, or ``"rest"``.
    method
        - ``"proportions"``: two-proportion z test with pooled variance, two-sided.
        - ``"wilcoxon"`` (corrected for ties, which are common in accessibility), ``"t-test"``,
          ``"t-test_overestim_var"``, ``"logreg"``:
          :func:`scanpy.tl.rank_genes_groups`, which also accepts fractions above 1 such as TF-IDF.
    key_added
        Key in ``uns``.
    copy
        Modify and return a copy of `data`.

    Returns
    -------
    AnnData | MuData | None
        None, or the copy if `copy`. Adds to ``data`` or ``data["atac"]``, in the format of
        :func:`scanpy.get.rank_genes_groups_df` and :func:`scanpy.pl.rank_genes_groups`:

        ``uns[key_added]["params"]``
            Parameters, under scanpy's names.
        ``uns[key_added]["names"]``, ``["scores"]``
            Record arrays with a field for each group and ``n_peaks`` rows: peaks by descending
            score, and their z (or the score of the method), float32.
        ``uns[key_added]["logfoldchanges"]``
            :math:`\log_2` of the ratio of rates, with 0.0001 added to each; float32. For fractions
            above 1 as computed by scanpy. Not for ``"logreg"``, as the next two.
        ``uns[key_added]["pvals"]``, ``["pvals_adj"]``
            p-values and their Benjamini-Hochberg adjustment within the group, float64.

    Raises
    ------
    KeyError
        If the column, layer or modality is missing; the message lists those that exist.
    ValueError
        If values are NaN, infinite, negative or, for ``"proportions"``, fractions above 1; if
        there are fewer than two groups, a group has fewer than 2 cells, or a group or the method is
        unknown.
    TypeError
        If `data` is neither AnnData nor MuData, or a matrix is not numeric.

    Notes
    -----
    zarr cannot store the record arrays if a group name contains a colon; h5ad can.

    p-values of translated data describe the model, not sampling noise: predictions of similar cells
    are not independent observations. Use them for ranking, not for inference.

    Examples
    --------
    >>> scmomer.tl.rank_peaks(mdata, "cell_type")  # measured
    >>> translated = scmomer.tl.translate_atac(mdata["rna"], model)
    >>> scmomer.tl.rank_peaks(translated, "cell_type")
    >>> sc.get.rank_genes_groups_df(translated, "Oligo", key="rank_peaks")
    """
    adata, labels = get_peaks(data), get_groups(data, groupby)
    matrix, place = get_values(adata, layer)
    chosen = _check_choice(labels, groupby, groups, reference, method)
    bulk = pseudobulk(matrix, labels, place, peaks_name(data))
    if method == "proportions":
        result = _by_proportions(bulk, chosen, reference, adata.var_names, place)
    else:
        result = _by_scanpy(matrix, labels, adata.var_names, bulk, chosen, reference, method)
    params = {
        "groupby": groupby,
        "reference": reference,
        "method": method,
        "use_raw": False,
        "layer": layer,
        "corr_method": "benjamini-hochberg",
    }
    data = own(data, copy)
    get_peaks(data).uns[key_added] = {"params": params, **result}
    return data if copy else None


def _check_choice(
    labels: pd.Categorical,
    groupby: str,
    groups: Sequence[str] | Literal["all"],
    reference: str,
    method: str,
) -> list[str]:
    """Return the groups to rank peaks for; raise if there is nothing to compare."""
    if method not in get_args(Method):
        msg = f"Expected a method among {list(get_args(Method))}, found {method!r}."
        raise ValueError(msg)
    if isinstance(groups, str) and groups != "all":
        msg = (
            f"Expected `groups` to be 'all' or a list, found {groups!r}. Pass groups=[{groups!r}]."
        )
        raise ValueError(msg)
    sizes = dict(zip(labels.categories, labels.value_counts(dropna=True), strict=True))
    if len(sizes) < 2:
        msg = (
            f"Expected at least 2 groups in {groupby!r} to compare, found {list(sizes)}. "
            "Pass a column with more groups in groupby=."
        )
        raise ValueError(msg)
    chosen = list(sizes) if isinstance(groups, str) else [str(group) for group in groups]
    wanted = chosen if reference == "rest" else [*chosen, reference]
    if unknown := [group for group in wanted if group not in sizes]:
        msg = f"Expected groups of {groupby!r}, among {list(sizes)}, found {unknown}."
        raise ValueError(msg)
    if small := {group: int(sizes[group]) for group in wanted if sizes[group] < 2}:
        msg = (
            f"Expected at least 2 cells in each group of {groupby!r}, found {small}. "
            "Pass only larger groups in groups=, or merge small ones."
        )
        raise ValueError(msg)
    chosen = [group for group in dict.fromkeys(chosen) if group != reference]
    if not chosen:
        msg = f"groups= has no group other than the reference {reference!r}. Add one."
        raise ValueError(msg)
    return chosen


def _by_proportions(
    bulk: Pseudobulk, chosen: list[str], reference: str, peaks: pd.Index, place: str
) -> dict[str, np.recarray]:
    """Two-proportion z test of each group, in scanpy's structure."""
    if not bulk.is_accessibility:
        msg = (
            f"Expected counts or probabilities in {place}, found fractions up to "
            f"{bulk.highest:g}. Pass the layer of counts in layer=, or another method=."
        )
        raise ValueError(msg)
    columns: dict[str, dict[str, np.ndarray]] = {}
    for group in chosen:
        (n1, p1), (n0, p0) = _rates(bulk, group, reference)
        pooled = (n1 * p1 + n0 * p0) / (n1 + n0)
        # Rounding of a sum of probabilities may leave [0, 1].
        variance = np.maximum(pooled * (1 - pooled), 0) * (1 / n1 + 1 / n0)
        z = np.divide(p1 - p0, np.sqrt(variance), out=np.zeros_like(p1), where=variance > 0)
        pvals = 2 * stats.norm.sf(np.abs(z))
        order = np.argsort(-z, kind="stable")
        table = {
            "names": peaks.to_numpy(dtype=object),
            "scores": z,
            "logfoldchanges": _log_fold_changes(p1, p0),
            "pvals": pvals,
            "pvals_adj": stats.false_discovery_control(pvals, method="bh"),
        }
        for name, values in table.items():
            columns.setdefault(name, {})[group] = values[order]
    return {name: _records(name, fields) for name, fields in columns.items()}


def _by_scanpy(
    matrix: Values,
    labels: pd.Categorical,
    peaks: pd.Index,
    bulk: Pseudobulk,
    chosen: list[str],
    reference: str,
    method: str,
) -> dict[str, np.recarray]:
    """Result of :func:`scanpy.tl.rank_genes_groups`, with fold changes of rates."""
    import scanpy as sc  # slow to import, rarely needed

    cells = np.flatnonzero(labels.codes >= 0)
    rows: Any = sp.csr_matrix(matrix) if sp.issparse(matrix) else matrix[:]
    values = rows[cells]  # a copy: scanpy drops stored zeros in place
    values = (values > 0).astype(np.float32) if bulk.is_counts else values
    obs = pd.DataFrame({"group": labels[cells]}, index=cells.astype(str))
    columns = pd.DataFrame(index=np.arange(len(peaks)).astype(str))  # names are peak positions
    adata = AnnData(values, obs=obs, var=columns)
    options = {"tie_correct": True} if method == "wilcoxon" else {}
    # Scanpy warns that values are not logarithmized; they are binary. A peak that is closed in all
    # cells has no variance; scanpy scores it 0.
    with sc.settings.verbosity.override("error"), np.errstate(invalid="ignore", divide="ignore"):
        sc.tl.rank_genes_groups(
            adata, "group", groups=chosen, reference=reference, method=method, **options
        )
    result = dict(adata.uns["rank_genes_groups"])
    del result["params"]
    orders = {g: result["names"][g].astype(np.intp) for g in result["names"].dtype.names}
    names = peaks.to_numpy(dtype=object)
    result["names"] = _records("names", {g: names[order] for g, order in orders.items()})
    if "logfoldchanges" in result and bulk.is_accessibility:
        changes = {}
        for group, order in orders.items():
            (_, p1), (_, p0) = _rates(bulk, group, reference)
            changes[group] = _log_fold_changes(p1, p0)[order]
        result["logfoldchanges"] = _records("logfoldchanges", changes)
    return result


def _rates(
    bulk: Pseudobulk, group: str, reference: str
) -> tuple[tuple[int, np.ndarray], tuple[int, np.ndarray]]:
    """Number of cells and rates ``(n_peaks,)`` of a group and of its reference."""
    row = bulk.groups.index(group)
    n1, open1 = int(bulk.sizes[row]), bulk.sums[row]
    if reference == "rest":
        n0, open0 = int(bulk.sizes.sum()) - n1, bulk.sums.sum(axis=0) - open1
    else:
        row = bulk.groups.index(reference)
        n0, open0 = int(bulk.sizes[row]), bulk.sums[row]
    return (n1, open1 / n1), (n0, open0 / n0)


def _log_fold_changes(p1: np.ndarray, p0: np.ndarray) -> np.ndarray:
    # Rates of the rest are differences of sums and may round to below 0.
    return np.log2((p1 + _PSEUDO_RATE) / (np.maximum(p0, 0) + _PSEUDO_RATE))


def _records(name: str, fields: dict[str, np.ndarray]) -> np.recarray:
    """One field for each group, as scanpy stores them."""
    frame = pd.DataFrame(fields)
    dtype = "O" if name == "names" else _DTYPES.get(name, "float64")
    return frame.to_records(index=False, column_dtypes=dtype)
