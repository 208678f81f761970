"""Differential accessibility of measured and of translated ATAC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray
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

# Added to both rates of a fold change: one open cell in ten thousand, below what one cell of most
# groups can show, so that a peak that is closed in one of them has a finite fold change.
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
    r"""Rank peaks by how differently accessible they are in groups of cells.

    The same call serves measured and translated ATAC. With rates :math:`p_1, p_0` of a peak in the
    :math:`n_1` cells of a group and the :math:`n_0` cells of the reference, and the rate
    :math:`p` of both together, the score of ``method="proportions"`` is

    .. math::

        z = \frac{p_1 - p_0}{\sqrt{p (1 - p) (1 / n_1 + 1 / n_0)}}

    and 0 where :math:`p` is 0 or 1. A rate is the share of open cells, or the mean probability.

    Parameters
    ----------
    data
        AnnData of peaks, or MuData, of which the ``atac`` modality is used. Sparse or dense, in
        memory or backed.
    groupby
        Column with the group of each cell, looked up in ``data.obs`` and then in the modality's
        obs. Cells without a group are left out.
    layer
        Layer that holds the values, for example ``"scmomer"``; None for ``X``. Whole numbers are
        counts, and a peak is open where they are above 0. Fractions in ``[0, 1]`` are
        probabilities, such as those of :func:`translate_atac`.
    groups
        Groups to rank peaks for. ``"rest"`` means all other cells even then.
    reference
        Group to compare with, or ``"rest"``.
    method
        - ``"proportions"``: two-proportion z test with pooled variance, two-sided.
        - ``"wilcoxon"`` (corrected for ties, of which accessibility mostly consists),
          ``"t-test"``, ``"t-test_overestim_var"``, ``"logreg"``:
          :func:`scanpy.tl.rank_genes_groups`, which also takes fractions above 1 such as TF-IDF.
    key_added
        Key in ``uns``.
    copy
        Return a changed copy instead of changing `data`.

    Returns
    -------
    AnnData | MuData | None
        None, or the copy. Adds, to ``data`` or to ``data["atac"]``, what
        :func:`scanpy.get.rank_genes_groups_df` and :func:`scanpy.pl.rank_genes_groups` read:

        ``uns[key_added]["params"]``
            Parameters, under scanpy's names.
        ``uns[key_added]["names"]``, ``["scores"]``
            Record arrays with a field for each group, of ``n_peaks`` rows: peaks from the highest
            score to the lowest, and their z (or the method's own score), float32.
        ``uns[key_added]["logfoldchanges"]``
            :math:`\log_2` of the ratio of rates, to each of which 0.0001 is added; float32. Scanpy's
            own for fractions above 1. Like the next two not for ``"logreg"``.
        ``uns[key_added]["pvals"]``, ``["pvals_adj"]``
            p values and their Benjamini-Hochberg adjustment within the group, float64.

    Raises
    ------
    KeyError
        If the column, layer or modality is absent; lists those present.
    ValueError
        If values are NaN, infinite, negative or, for ``"proportions"``, fractions above 1; if
        there are not two groups to compare, one of them has fewer than 2 cells, or a group or the
        method is unknown.
    TypeError
        If `data` is no AnnData or MuData, or a matrix holds no numbers.

    Notes
    -----
    zarr does not keep the record arrays if the name of a group holds a colon; h5ad does.

    p values of translated data describe the model, not sampling noise: predictions of similar
    cells are alike, and are no independent observations. Use them to rank, not to infer.

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
            f"Expected `groups` to be 'all' or a list, found {groups!r}. Write groups=[{groups!r}]."
        )
        raise ValueError(msg)
    sizes = dict(zip(labels.categories, labels.value_counts(dropna=True), strict=True))
    if len(sizes) < 2:
        msg = (
            f"Expected at least 2 groups in {groupby!r} to compare, found {list(sizes)}. "
            "Name a column that tells cells apart in groupby=."
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
            "List the other groups in groups=, or merge these."
        )
        raise ValueError(msg)
    chosen = [group for group in dict.fromkeys(chosen) if group != reference]
    if not chosen:
        msg = (
            f"Expected a group besides the reference {reference!r}, found none. Add one to groups=."
        )
        raise ValueError(msg)
    return chosen


def _by_proportions(
    bulk: Pseudobulk, chosen: list[str], reference: str, peaks: pd.Index, place: str
) -> dict[str, np.recarray]:
    """Two-proportion z test of each group, in scanpy's structure."""
    if not bulk.is_accessibility:
        msg = (
            f"Expected counts or probabilities in {place}, found fractions up to "
            f"{bulk.highest:g}. Name the layer of counts in layer=, or choose another method=."
        )
        raise ValueError(msg)
    columns: dict[str, dict[str, NDArray[Any]]] = {}
    for group in chosen:
        (n1, p1), (n0, p0) = _rates(bulk, group, reference)
        pooled = (n1 * p1 + n0 * p0) / (n1 + n0)
        # Rounding of a sum of probabilities may lead out of [0, 1].
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
    import scanpy as sc  # takes time, and few need it

    cells = np.flatnonzero(labels.codes >= 0)
    rows: Any = sp.csr_matrix(matrix) if sp.issparse(matrix) else matrix[:]
    values = rows[cells]  # a copy: scanpy drops stored zeros in place
    values = (values > 0).astype(np.float32) if bulk.is_counts else values
    obs = pd.DataFrame({"group": labels[cells]}, index=cells.astype(str))
    columns = pd.DataFrame(index=np.arange(len(peaks)).astype(str))  # names that lead back to peaks
    adata = AnnData(values, obs=obs, var=columns)
    options = {"tie_correct": True} if method == "wilcoxon" else {}
    # Scanpy warns of counts that are no logarithms; these are open or closed. A peak that is closed
    # in all cells has no variance, and scanpy's score of it is 0.
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
) -> tuple[tuple[int, NDArray[np.float64]], tuple[int, NDArray[np.float64]]]:
    """Cells and rates ``(n_peaks,)`` of a group and of what it is compared with."""
    row = bulk.groups.index(group)
    n1, open1 = int(bulk.sizes[row]), bulk.sums[row]
    if reference == "rest":
        n0, open0 = int(bulk.sizes.sum()) - n1, bulk.sums.sum(axis=0) - open1
    else:
        row = bulk.groups.index(reference)
        n0, open0 = int(bulk.sizes[row]), bulk.sums[row]
    return (n1, open1 / n1), (n0, open0 / n0)


def _log_fold_changes(p1: NDArray[np.float64], p0: NDArray[np.float64]) -> NDArray[np.float64]:
    # Rates of a reference are a difference of sums and may be a rounding below 0.
    return np.log2((p1 + _PSEUDO_RATE) / (np.maximum(p0, 0) + _PSEUDO_RATE))


def _records(name: str, fields: dict[str, NDArray[Any]]) -> np.recarray:
    """One field for each group, as scanpy stores them."""
    frame = pd.DataFrame(fields)
    dtype = "O" if name == "names" else _DTYPES.get(name, "float64")
    return frame.to_records(index=False, column_dtypes=dtype)
