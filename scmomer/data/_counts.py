"""Raw counts from an AnnData, as a checked CSR matrix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import h5py
import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from anndata.abc import CSCDataset, CSRDataset

from scmomer.data._messages import assigned, option, warn
from scmomer.module import MODALITY_TYPES

_N_CELLS_PROBED: Final = 200  # when an error looks for counts in other places
_PROFILES: Final = {"non-integer": "normalized", "negative": "zscore"}  # that values may be of


def get_counts(
    adata: AnnData,
    layer: str | None,
    where: str,
    argument: str | None = "layer",
    *,
    offer_profile: bool = False,
) -> sp.csr_matrix:
    """Return the raw counts of an AnnData as the model reads them.

    Arguments and errors are those of :func:`read_counts`.

    Returns
    -------
    csr_matrix
        Shape ``(n_obs, n_vars)``, float32, sorted, without stored zeros. May share memory with the
        input; must not be written to.
    """
    return canonical(read_counts(adata, layer, where, argument, offer_profile=offer_profile))


def layer_names(adata: AnnData) -> list[str]:
    """Return the names of the layers, without None, which is ``X`` in anndata 0.13."""
    return sorted(name for name in adata.layers if name is not None)


def read_counts(
    adata: AnnData,
    layer: str | None,
    where: str,
    argument: str | None = "layer",
    *,
    offer_profile: bool = False,
) -> sp.csr_matrix:
    """Return the raw counts of an AnnData in their own dtype.

    Parameters
    ----------
    adata
        In memory, a view, or backed.
    layer
        Key of ``adata.layers``; None for ``adata.X``.
    where
        Name of `adata` in messages, for example ``mdata['rna']``.
    argument
        The caller's argument for the layer, for messages; ``{}`` stands for its value. None: the
        data are registered.
    offer_profile
        Whether the values are RNA and the caller has an argument ``profile``, for messages.

    Returns
    -------
    csr_matrix
        Shape ``(n_obs, n_vars)``, possibly unsorted or with stored zeros. May share memory with
        the input; must not be written to.

    Raises
    ------
    KeyError
        If there is no such layer.
    TypeError
        If the matrix has an unsupported type.
    ValueError
        If values are not counts.
    """
    matrix, place = read_matrix(adata, layer, where, argument)
    counts = sp.csr_matrix(matrix)
    check_counts(counts, adata, place, argument, offer_profile=offer_profile)
    return counts


def read_matrix(
    adata: AnnData, layer: str | None, where: str, argument: str | None = "layer"
) -> tuple[Any, str]:
    """Return a matrix of numbers in memory, not to be written to, and its name in messages.

    Arguments and errors are those of :func:`read_counts`; values are not checked.
    """
    if layer is not None and layer not in adata.layers:
        msg = f"There is no layer {layer!r} in {where}.layers, only {layer_names(adata)}."
        raise KeyError(msg)
    place = f"{where}.X" if layer is None else f"{where}.layers[{layer!r}]"
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        msg = f"There is no matrix in {place}. {_where_counts_are(adata, place, argument)}"
        raise TypeError(msg)
    return _in_memory(matrix, place, where), place


def _in_memory(matrix: Any, place: str, where: str) -> Any:
    if isinstance(matrix, CSRDataset | CSCDataset):  # backed
        matrix = matrix.to_memory()
    elif isinstance(matrix, h5py.Dataset) or _is_zarr(matrix):
        matrix = np.asarray(matrix[:])
    target = assigned(place)
    if isinstance(matrix, np.ma.MaskedArray):
        msg = (
            f"Expected counts of all features in {place}, found a masked array. Fill masked "
            f"values, for example with 0: `{target} = {place}.filled(0)`."
        )
        raise TypeError(msg)
    if sp.issparse(matrix) or isinstance(matrix, np.ndarray):
        kind = matrix.dtype.kind
        if kind not in "fiub":
            msg = (
                f"Expected numbers in {place}, found dtype {matrix.dtype}. If they are "
                "numbers, run "
                f"`{target} = {place}.astype('float32')`."
            )
            raise TypeError(msg)
        if matrix.dtype == np.float16:  # SciPy has no sparse float16
            matrix = matrix.astype(np.float32)
        return matrix
    found = f"a {type(matrix).__module__}.{type(matrix).__name__}"
    msg = (
        f"Expected a NumPy array or a SciPy sparse matrix in {place}, found {found}. "
        f"Bring the data into memory first: `{assigned(where)} = {where}.to_memory()`."
    )
    raise TypeError(msg)


def _owner(place: str) -> str:
    """Return the AnnData of a place: ``mdata['rna']`` of ``mdata['rna'].X``."""
    return re.split(r"\.(?:X|layers\[.*)$", place)[0]


def _is_zarr(matrix: Any) -> bool:
    return type(matrix).__module__.split(".")[0] == "zarr"  # an optional package


def check_counts(
    counts: sp.csr_matrix,
    adata: AnnData,
    place: str,
    argument: str | None,
    *,
    offer_profile: bool = False,
) -> None:
    """Raise if stored values are infinite, NaN, negative or fractional."""
    values = counts.data
    wrong = _not_finite(values)
    if values.dtype.kind in "fi":
        wrong["negative"] = values < 0
    if values.dtype.kind == "f":
        wrong["non-integer"] = values != np.floor(values)
    for kind, bad in wrong.items():
        if not bad.any():
            continue
        offered = offer_profile and argument is not None and kind in _PROFILES
        other = _other_profile(kind, argument or "") if offered else ""
        remedy = _where_counts_are(adata, place, argument, other)
        if np.isnan(values[bad][0]) and (values[~bad] == np.floor(values[~bad])).all():
            remedy += (
                " If NaN are features that some data sets lack (anndata.concat with join='outer'), "
                "use join='inner' or set them to 0: "
                f"`{assigned(place)} = np.nan_to_num({place})`."
            )
        msg = f"Expected raw counts in {_found(bad, kind, counts, adata, place)} {remedy}"
        raise ValueError(msg)


def check_values(values: sp.csr_matrix, adata: AnnData, place: str, profile: str) -> None:
    """Raise if stored values cannot be of a profile that is not counts: NaN or infinite; negative.

    `profile` is ``"normalized"`` or ``"zscore"``.
    """
    wrong = _not_finite(values.data)
    if profile == "normalized":
        wrong["negative"] = values.data < 0
    for kind, bad in wrong.items():
        if not bad.any():
            continue
        what = {"normalized": "normalized expression", "zscore": "z-scores"}[profile]
        found = _found(bad, kind, values, adata, place)
        owner = _owner(place)
        remedy = (
            "Pass profile='zscore' if these are z-scores; otherwise set values below 0 to 0."
            if kind == "negative"
            else "Leave out such genes, for example those without variation: "
            f"`{assigned(owner)} = {owner}[:, np.isfinite(np.asarray({place}.sum(axis=0)).ravel())]"
            ".copy()`."
        )
        msg = f"Expected {what} in {found} {remedy}"
        raise ValueError(msg)


def _not_finite(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return where values are NaN, infinite, or infinite in the float32 of the model."""
    if values.dtype.kind != "f":
        return {}
    return {"NaN or infinite": ~(np.abs(values) <= np.finfo(np.float32).max)}


def _found(bad: np.ndarray, kind: str, values: sp.csr_matrix, adata: AnnData, place: str) -> str:
    """Return what was found in place of what was expected there."""
    first = int(bad.argmax())
    cell = int(np.searchsorted(values.indptr, first, side="right")) - 1
    gene = adata.var_names[values.indices[first]]
    return (
        f"{place}, found {kind} values: {int(bad.sum())} of "
        f"{len(bad)} stored ones, for example {values.data[first]:g} at cell "
        f"{str(adata.obs_names[cell])!r}, feature {str(gene)!r}."
    )


def _other_profile(kind: str, argument: str) -> str:
    """Return the argument with which values that are not counts can be read, after a space."""
    name = "reference_profile" if argument.startswith("reference") else "profile"
    _, to, verb = argument.partition(" to ")
    profile = _PROFILES[kind]
    if profile == "normalized":
        return f" If this is normalized expression, pass {name}={profile!r}{to}{verb}."
    if to:
        return " z-scores cannot be trained on; a trained model reads them with profile='zscore'."
    return f" If these are z-scores, pass {name}={profile!r}."


def _where_counts_are(adata: AnnData, place: str, argument: str | None, otherwise: str = "") -> str:
    """Return how to pass counts that `adata` holds in another place, for messages.

    `otherwise` is added if there are none.
    """
    where = _owner(place)
    names = layer_names(adata)
    good = [name for name in names if _looks_like_counts(adata.layers[name])]
    in_x = place != f"{where}.X" and _looks_like_counts(adata.X)
    if argument is None:
        return _put_back(place, f"{where}.layers[{good[0]!r}]" if good else f"{where}.X" * in_x)
    name = argument.split("=")[0]
    if good:
        return f"layers[{good[0]!r}] holds counts: pass {option(argument, good[0])}."
    if in_x:
        return f"{where}.X holds counts: leave out {name}=."
    if adata.raw is not None and _looks_like_counts(adata.raw.X):
        return f"{where}.raw holds counts: run `{assigned(where)} = {where}.raw.to_adata()` first."
    checked = f" (the layers {names} do not hold counts)" if names else ""
    return (
        f"Put the raw counts into a layer and pass {name}=, or put them into X{checked}.{otherwise}"
    )


def _put_back(place: str, source: str) -> str:
    """Return how to restore the counts of registered data from `source`; ``""`` if unknown."""
    line = f" (`{place} = {source}.copy()`)" if source else ""
    return (
        f"The data were registered with counts there: put the counts back{line}, or set up "
        "the data "
        "again with the layer that holds counts and build a new model."
    )


def _looks_like_counts(matrix: Any) -> bool:
    """Whether the first values of a matrix are counts."""
    if matrix is None:
        return False
    values = np.asarray(_head(matrix))
    some = values.dtype.kind in "fiub" and values.size > 0
    return some and bool((np.isfinite(values) & (values >= 0) & (values == np.floor(values))).all())


def _head(matrix: Any) -> Any:
    rows = matrix[:_N_CELLS_PROBED]
    return rows.data if sp.issparse(rows) else rows


def warn_empty(
    empty: np.ndarray, modality: str, where: str, layers: Mapping[str, str | None]
) -> None:
    """Warn of cells without counts: zeros may mean "not measured", as in TOTALVI.

    Parameters
    ----------
    empty
        Cells without counts, ``(n_obs,)`` bool.
    modality, where
        The modality, and its name in messages.
    layers
        Arguments of :func:`scmomer.pp.drop_unmeasured` with the layers of all counts.
    """
    if not empty.any():
        return
    name = where.split("[")[0]
    options = "".join(f", {k}={v!r}" for k, v in layers.items() if v is not None)
    warn(
        f"{int(empty.sum())} of {len(empty)} cells in {where} have no "
        f"{MODALITY_TYPES[modality].feature_name} "
        "with counts. They are treated as measured. If zeros mean 'not measured', run "
        f"`{name} = scmomer.pp.drop_unmeasured({name}{options})`."
    )


def canonical(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return a float32 matrix, sorted and without stored zeros; the input is not changed."""
    clean = counts.data.dtype == np.float32 and counts.has_canonical_format and counts.data.all()
    if clean:
        return counts
    counts = sp.csr_matrix(counts, dtype=np.float32, copy=True)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    return counts
