"""Raw counts out of any container, as a checked CSR matrix."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from anndata.abc import CSCDataset, CSRDataset


def get_counts(adata: AnnData, layer: str | None, where: str) -> sp.csr_matrix:
    """Return the raw counts of an AnnData, as the model reads them.

    Parameters
    ----------
    adata, layer, where
        As in :func:`read_counts`, which also says what is refused.

    Returns
    -------
    csr_matrix
        Shape ``(n_obs, n_vars)``, float32, sorted, without stored zeros. Shares memory with the
        input where that is possible; must not be written to.
    """
    return _canonical(read_counts(adata, layer, where))


def layer_names(adata: AnnData) -> list[str]:
    """Return the names of the layers; anndata 0.13 counts ``X`` among them, as None."""
    return sorted(name for name in adata.layers if name is not None)


def read_counts(adata: AnnData, layer: str | None, where: str) -> sp.csr_matrix:
    """Return the raw counts of an AnnData in their own dtype.

    Parameters
    ----------
    adata
        In memory, a view, or backed.
    layer
        Key of ``adata.layers``; None for ``adata.X``.
    where
        How messages name `adata`, for example ``mdata['rna']``.

    Returns
    -------
    csr_matrix
        Shape ``(n_obs, n_vars)``, perhaps unsorted or with stored zeros. Shares memory with the
        input where that is possible; must not be written to.

    Raises
    ------
    KeyError
        If there is no such layer.
    TypeError
        If the matrix is of a kind that cannot be read.
    ValueError
        If values are not counts.
    """
    if layer is not None and layer not in adata.layers:
        msg = f"Expected layer {layer!r} in {where}.layers, found {layer_names(adata)}."
        raise KeyError(msg)
    place = f"{where}.X" if layer is None else f"{where}.layers[{layer!r}]"
    matrix = adata.X if layer is None else adata.layers[layer]
    counts = _to_csr(matrix, place)
    check_counts(counts, adata, place)
    return counts


def _to_csr(matrix: Any, place: str) -> sp.csr_matrix:
    if isinstance(matrix, CSRDataset | CSCDataset):  # backed
        matrix = matrix.to_memory()
    elif isinstance(matrix, h5py.Dataset):
        matrix = matrix[:]
    if sp.issparse(matrix) or isinstance(matrix, np.ndarray):
        kind = matrix.dtype.kind
        if kind not in "fiub":
            msg = f"Expected numbers in {place}, found dtype {matrix.dtype}."
            raise TypeError(msg)
        if matrix.dtype == np.float16:  # not a sparse type; float32 holds all of its values
            matrix = matrix.astype(np.float32)
        return sp.csr_matrix(matrix)
    found = "nothing" if matrix is None else f"a {type(matrix).__module__}.{type(matrix).__name__}"
    msg = (
        f"Expected a NumPy array or a SciPy sparse matrix in {place}, found {found}. "
        "Put raw counts there, or bring them into memory first (`adata = adata.to_memory()`)."
    )
    raise TypeError(msg)


def check_counts(counts: sp.csr_matrix, adata: AnnData, place: str) -> None:
    """Raise if stored values are not finite, negative or no whole numbers."""
    values = counts.data
    if values.dtype.kind == "f":
        _refuse(~np.isfinite(values), "NaN or infinite", counts, adata, place)
    if values.dtype.kind in "fi":
        _refuse(values < 0, "negative", counts, adata, place)
    if values.dtype.kind == "f":
        _refuse(values != np.floor(values), "non-integer", counts, adata, place)


def _refuse(bad: np.ndarray, kind: str, counts: sp.csr_matrix, adata: AnnData, place: str) -> None:
    if not bad.any():
        return
    first = int(bad.argmax())
    cell = int(np.searchsorted(counts.indptr, first, side="right")) - 1
    gene = adata.var_names[counts.indices[first]]
    msg = (
        f"Expected raw counts in {place}, found {kind} values: {int(bad.sum())} of "
        f"{len(bad)} stored ones, for example {counts.data[first]:g} at cell "
        f"{str(adata.obs_names[cell])!r}, feature {str(gene)!r}. "
        "Pass the layer that holds counts (layer=, or rna_layer= and atac_layer= in set-up)."
    )
    raise ValueError(msg)


def _canonical(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return float32, sorted and without stored zeros; the input's arrays are not written to."""
    clean = counts.data.dtype == np.float32 and counts.has_canonical_format and counts.data.all()
    if clean:
        return counts
    counts = sp.csr_matrix(counts, dtype=np.float32, copy=True)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    return counts
