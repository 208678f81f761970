"""Accessibility of groups of cells, from AnnData or MuData."""

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

from scmomer._constants import ATAC
from scmomer.data._containers import as_groups, check_container, find_column, obs_column, usual_keys
from scmomer.data._counts import layer_names
from scmomer.data._guess_modality import check_one_modality, looks_like
from scmomer.data._messages import assigned, display_name

#: Cells x peaks; a dense matrix may stay on disk.
Values: TypeAlias = np.ndarray | sp.spmatrix | sp.sparray | h5py.Dataset
_BLOCK = 2**24  # values of a dense matrix at a time: 128 MiB as float64


class Pseudobulk(NamedTuple):
    """Sums of accessibility over the cells of each group."""

    groups: list[str]
    sizes: np.ndarray  # cells, (n_groups,)
    sums: np.ndarray  # (n_groups, n_peaks)
    highest: float  # largest value of the matrix
    is_counts: bool  # whole numbers, of which those above 0 were counted

    @property
    def means(self) -> np.ndarray:
        """Mean accessibility, ``(n_groups, n_peaks)``: share of open cells, or mean probability."""
        return self.sums / self.sizes[:, None]

    @property
    def overall(self) -> np.ndarray:
        """Mean accessibility of all cells with a group, ``(n_peaks,)``."""
        return self.sums.sum(axis=0) / self.sizes.sum()

    @property
    def is_accessibility(self) -> bool:
        """Whether means are in [0, 1], because values were counts or probabilities."""
        return self.is_counts or self.highest <= 1


def get_peaks(data: AnnData | MuData) -> AnnData:
    """Return the AnnData of peaks: `data`, or the modality of a MuData with a usual name of ATAC.

    Raises
    ------
    KeyError
        If a MuData has no such modality.
    TypeError
        If `data` is neither AnnData nor MuData.
    ValueError
        If an AnnData also holds other modalities.
    """
    check_container(data)
    if isinstance(data, AnnData):
        check_one_modality(data, wanted=ATAC)
        return data
    keys = usual_keys(data, ATAC)
    if not keys:
        msg = (
            f"Expected modality {ATAC!r} in the MuData, found {sorted(data.mod)}. Pass the "
            f"modality with peaks as an AnnData{_example(data)}."
        )
        raise KeyError(msg)
    return data[keys[0]]


def _example(mdata: MuData) -> str:
    keys = [key for key, adata in mdata.mod.items() if looks_like(adata) == ATAC]
    return f", mdata[{keys[0]!r}]" if keys else ""


def peaks_name(data: AnnData | MuData) -> str:
    """Return the name of :func:`get_peaks` in messages."""
    name = display_name(data)
    return name if isinstance(data, AnnData) else f"{name}[{usual_keys(data, ATAC)[0]!r}]"


def get_values(adata: AnnData, layer: str | None) -> tuple[Values, str]:
    """Return ``X`` or a layer, shape ``(n_cells, n_peaks)``, and its name in messages.

    Raises
    ------
    KeyError
        If there is no such layer, or no ``X``.
    TypeError
        If it does not hold numbers.
    """
    if layer is not None and layer not in adata.layers:
        msg = f"There is no layer {layer!r}, only {layer_names(adata)}. None stands for X."
        raise KeyError(msg)
    place = "X" if layer is None else f"layers[{layer!r}]"
    matrix: Any = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        msg = f"There is no matrix in X. Name one of {layer_names(adata)} in layer=."
        raise KeyError(msg)
    if isinstance(matrix, CSRDataset | CSCDataset):  # backed
        matrix = matrix.to_memory()
    if matrix.dtype.kind not in "fiub":
        msg = f"Expected numbers in {place}, found dtype {matrix.dtype}. Convert them first."
        raise TypeError(msg)
    return matrix, place


def get_groups(data: AnnData | MuData, groupby: str) -> pd.Categorical:
    """Return the group of each cell of :func:`get_peaks`, as text, ``(n_cells,)``.

    Groups are in the order of the column's categories, or else sorted, without empty ones. Cells
    without a group are missing values.

    Raises
    ------
    KeyError
        If neither ``data.obs`` nor the obs of a modality has the column; lists those present.
    """
    adata = get_peaks(data)
    mods = {m: m for m in data.mod} if isinstance(data, MuData) else {}
    place = find_column(data, groupby, mods, "groupby=")
    if place is not None and groupby in adata.obs:
        column = adata.obs[groupby]
    else:
        column = obs_column(data, groupby).reindex(adata.obs_names)
    return as_groups(column)


def pseudobulk(
    matrix: Values, labels: pd.Categorical, place: str = "X", owner: str | None = None
) -> Pseudobulk:
    """Sum accessibility over the cells of each group, as a product with group indicators.

    Parameters
    ----------
    matrix
        Counts, where peaks above 0 are open, or other values, which are summed as they are; shape
        ``(n_cells, n_peaks)``.
    labels
        Group of each cell, shape ``(n_cells,)``. Cells without a group are ignored.
    place
        Name of `matrix` in messages.
    owner
        Name of its AnnData in messages, if any.

    Raises
    ------
    ValueError
        If a value is NaN, infinite or negative.
    """
    groups = labels.categories.tolist()
    indicator = group_indicator(labels.codes, len(groups))
    sums = np.zeros((len(groups), matrix.shape[1]))
    highest, is_counts = 0.0, True
    for rows, block in _blocks(matrix):
        _check(block, place, owner)
        # A block of probabilities may hold 0 and 1 alone; counting leaves these unchanged.
        whole = _is_whole(block)
        product = indicator[:, rows] @ (block > 0 if whole else block)
        sums += product.toarray() if sp.issparse(product) else product
        highest, is_counts = max(highest, float(block.max())), is_counts and whole
    sizes = np.asarray(indicator.sum(1)).astype(np.int64)
    return Pseudobulk(groups, sizes, sums, highest, is_counts)


def group_indicator(codes: np.ndarray, n_groups: int) -> sp.csc_array:
    """Return which cells are in each group, ``(n_groups, n_cells)``; code -1 is in none."""
    cells = np.flatnonzero(codes >= 0)
    return sp.csc_array((np.ones(cells.size), (codes[cells], cells)), (n_groups, len(codes)))


def _blocks(matrix: Values) -> Iterator[tuple[slice, Any]]:
    """Yield the rows of a dense matrix in blocks, those of a sparse one at once."""
    n_cells, n_peaks = matrix.shape
    step = n_cells if sp.issparse(matrix) else max(_BLOCK // max(n_peaks, 1), 1)
    for start in range(0, n_cells if n_peaks else 0, max(step, 1)):
        rows = slice(start, min(start + step, n_cells))
        yield rows, matrix if sp.issparse(matrix) else matrix[rows]


def _check(block: Any, place: str, owner: str | None) -> None:
    """Raise if a value is NaN, infinite or negative."""
    # Checked by the extremes, which needs no boolean copy of the block.
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
            f"of {block.shape[1]} peaks, the first in column {peaks[0]}. Translation gives NaN for "
            f"peaks that the model lacks: leave them out{line}."
        )
        raise ValueError(msg)
    if lowest < 0:
        msg = (
            f"Expected counts or probabilities in {place}, found the negative value {lowest:g}. "
            "Name an unscaled layer in layer=."
        )
        raise ValueError(msg)


def _is_whole(block: Any) -> bool:
    values = block.data if sp.issparse(block) else block
    return values.dtype.kind in "iub" or bool((values == np.floor(values)).all())
