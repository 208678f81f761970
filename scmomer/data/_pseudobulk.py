"""Accessibility of groups of cells, out of whatever container holds peaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.abc import CSCDataset, CSRDataset
from mudata import MuData
from numpy.typing import NDArray

from scmomer._constants import ATAC
from scmomer.data._containers import as_text, check_container, find_column, obs_column, usual_keys
from scmomer.data._counts import layer_names
from scmomer.data._evidence import check_one_modality, looks_like
from scmomer.data._texts import assigned, name_of

#: Values of cells x peaks; a dense matrix may stay on disk.
Values: TypeAlias = np.ndarray | sp.spmatrix | sp.sparray | h5py.Dataset
_BLOCK = 2**24  # values of a dense matrix at a time: 128 MiB as float64


class Pseudobulk(NamedTuple):
    """Sums of accessibility over the cells of each group."""

    groups: list[str]
    sizes: NDArray[np.int64]  # cells, (n_groups,)
    sums: NDArray[np.float64]  # (n_groups, n_peaks)
    highest: float  # value of the matrix
    is_counts: bool  # whole numbers, of which it was summed where they are above 0

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean accessibility, ``(n_groups, n_peaks)``: share of open cells, or probability."""
        return self.sums / self.sizes[:, None]

    @property
    def overall(self) -> NDArray[np.float64]:
        """Mean accessibility of all cells that have a group, ``(n_peaks,)``."""
        return self.sums.sum(axis=0) / self.sizes.sum()

    @property
    def is_accessibility(self) -> bool:
        """Whether values were counts or probabilities, so that means are in [0, 1]."""
        return self.is_counts or self.highest <= 1


def peaks_of(data: AnnData | MuData) -> AnnData:
    """Return the AnnData of peaks: `data`, or the ATAC modality of a MuData under a usual name.

    Raises
    ------
    KeyError
        If a MuData has no such modality.
    TypeError
        If `data` is another container.
    ValueError
        If an AnnData holds other modalities too.
    """
    check_container(data)
    if isinstance(data, AnnData):
        check_one_modality(data, wanted=ATAC)
        return data
    keys = usual_keys(data, ATAC)
    if not keys:
        msg = (
            f"Expected modality {ATAC!r} in the MuData, found {sorted(data.mod)}. Pass the "
            f"modality of peaks as an AnnData{_example(data)}."
        )
        raise KeyError(msg)
    return data[keys[0]]


def _example(mdata: MuData) -> str:
    keys = [key for key, adata in mdata.mod.items() if looks_like(adata) == ATAC]
    return f", mdata[{keys[0]!r}]" if keys else ""


def where_of(data: AnnData | MuData) -> str:
    """Return how messages name what :func:`peaks_of` returns."""
    name = name_of(data)
    return name if isinstance(data, AnnData) else f"{name}[{usual_keys(data, ATAC)[0]!r}]"


def values_of(adata: AnnData, layer: str | None) -> tuple[Values, str]:
    """Return ``X`` or a layer, shape ``(n_cells, n_peaks)``, and how messages name it.

    Raises
    ------
    KeyError
        If there is no such layer, or no ``X``.
    TypeError
        If it does not hold numbers.
    """
    if layer is not None and layer not in adata.layers:
        msg = f"Expected layer {layer!r}, found {layer_names(adata)}. None takes X."
        raise KeyError(msg)
    place = "X" if layer is None else f"layers[{layer!r}]"
    matrix: Any = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        msg = f"Expected values in X, found none. Name one of {layer_names(adata)} in layer=."
        raise KeyError(msg)
    if isinstance(matrix, CSRDataset | CSCDataset):  # backed
        matrix = matrix.to_memory()
    if matrix.dtype.kind not in "fiub":
        msg = f"Expected numbers in {place}, found dtype {matrix.dtype}. Convert them first."
        raise TypeError(msg)
    return matrix, place


def labels_of(data: AnnData | MuData, groupby: str) -> pd.Categorical:
    """Return the group of each cell of :func:`peaks_of`, as text, ``(n_cells,)``.

    Groups are in the order of the column's categories, else sorted; those without cells are left
    out. Cells without a group are missing values.

    Raises
    ------
    KeyError
        If neither ``data.obs`` nor the obs of a modality has the column; lists those present.
    """
    adata = peaks_of(data)
    mods = {m: m for m in data.mod} if isinstance(data, MuData) else {}
    place = find_column(data, groupby, mods, "groupby=")
    if place is not None and groupby in adata.obs:
        column = adata.obs[groupby]
    else:
        column = obs_column(data, groupby).reindex(adata.obs_names)
    column = column.astype("category").cat.remove_unused_categories()
    return column.cat.rename_categories(as_text).array


def pseudobulk(
    matrix: Values, labels: pd.Categorical, place: str = "X", owner: str | None = None
) -> Pseudobulk:
    """Sum accessibility over the cells of each group, as one product with group indicators.

    Parameters
    ----------
    matrix
        Counts, of which a peak is open where they are above 0, or other values, which are taken
        as they are; shape ``(n_cells, n_peaks)``.
    labels
        Group of each cell, shape ``(n_cells,)``. Cells without one count nowhere.
    place
        How messages name `matrix`.
    owner
        How they name the AnnData that has it; None: not at all.

    Raises
    ------
    ValueError
        If a value is NaN, infinite or negative.
    """
    n_cells, n_peaks = matrix.shape
    groups = labels.categories.tolist()
    cells = np.flatnonzero(labels.codes >= 0)
    member = (np.ones(cells.size), (labels.codes[cells], cells))
    indicator = sp.csc_array(member, shape=(len(groups), n_cells))
    sums = np.zeros((len(groups), n_peaks))
    highest, is_counts = 0.0, True
    for rows, block in _blocks(matrix):
        _check(block, place, owner)
        # A block of whole numbers may belong to probabilities: of 0 and 1 it stays as it is.
        whole = _is_whole(block)
        product = indicator[:, rows] @ (block > 0 if whole else block)
        sums += product.toarray() if sp.issparse(product) else product
        highest, is_counts = max(highest, float(block.max())), is_counts and whole
    sizes = np.bincount(labels.codes[cells], minlength=len(groups)).astype(np.int64)
    return Pseudobulk(groups, sizes, sums, highest, is_counts)


def _blocks(matrix: Values) -> Iterator[tuple[slice, Any]]:
    """Rows of a dense matrix in blocks; a sparse one at once."""
    n_cells, n_peaks = matrix.shape
    step = n_cells if sp.issparse(matrix) else max(_BLOCK // max(n_peaks, 1), 1)
    for start in range(0, n_cells if n_peaks else 0, max(step, 1)):
        rows = slice(start, min(start + step, n_cells))
        yield rows, matrix if sp.issparse(matrix) else matrix[rows]


def _check(block: Any, place: str, owner: str | None) -> None:
    """Raise if a value is NaN, infinite or negative."""
    # The extremes show each of these without a boolean copy of the block.
    lowest, highest = float(block.min()), float(block.max())
    if not np.isfinite([lowest, highest]).all():
        finite = np.isfinite(block.data if sp.issparse(block) else block)
        columns = block.tocoo().col[~finite] if sp.issparse(block) else np.nonzero(~finite)[1]
        peaks = np.unique(columns)
        line = ""
        if owner is not None and not sp.issparse(block):
            kept = f"{owner}[:, np.isfinite({owner}.{place}).all(axis=0)].copy()"
            line = f": `{assigned(owner)} = {kept}`"
        msg = (
            f"Expected finite values in {place}, found NaN or infinite ones in {peaks.size} "
            f"of {block.shape[1]} peaks, the first in column {peaks[0]}. Translation leaves peaks "
            f"NaN that the model does not have: leave these out{line}."
        )
        raise ValueError(msg)
    if lowest < 0:
        msg = (
            f"Expected counts or probabilities in {place}, found the negative value {lowest:g}. "
            "Name a layer that is not scaled in layer=."
        )
        raise ValueError(msg)


def _is_whole(block: Any) -> bool:
    values = block.data if sp.issparse(block) else block
    return values.dtype.kind in "iub" or bool((values == np.floor(values)).all())
