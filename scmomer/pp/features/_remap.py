"""Counts of new features, by one sparse product."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scmomer.data import Profile, read_counts, read_values


def remap(
    adata: AnnData,
    incidence: sp.csr_matrix,
    var: pd.DataFrame,
    layer: str | None,
    profile: Profile | None = None,
) -> AnnData:
    """Return new cells with ``counts @ incidence`` in X; means instead of sums without counts.

    Parameters
    ----------
    adata
        Raw counts; not modified.
    incidence
        True where an old feature counts in a new one, shape ``(n_vars, n_new)``.
    var
        The new features, ``n_new`` rows.
    layer
        Layer with the counts; None for ``X``.
    profile
        What the values are; None for counts if the caller has no such argument.

    Returns
    -------
    AnnData
        Shape ``(n_obs, n_new)``, CSR. Copies of obs, obsm, obsp and uns, without the ids of a
        registration with scvi-tools, which had other features.

    Raises
    ------
    KeyError
        If the layer does not exist.
    TypeError, ValueError
        If values are not raw counts.
    """
    if profile is None or profile == "counts":
        counts = read_counts(adata, layer, "adata", offer_profile=profile is not None)
        dtype = _dtype_of_sums(counts, incidence)
        X = counts.astype(dtype, copy=False) @ incidence.astype(dtype)
    else:
        values, _ = read_values(adata, layer, "adata", profile)
        n = np.bincount(incidence.indices, minlength=incidence.shape[1])  # (n_new,)
        X = sp.csr_matrix(values @ (incidence @ sp.diags(1 / np.maximum(n, 1, dtype=np.float32))))
    X.eliminate_zeros()
    X.sort_indices()
    return AnnData(
        X,
        obs=adata.obs.copy(),
        var=var,
        obsm=dict(adata.obsm.copy()),
        obsp=dict(adata.obsp.copy()),
        uns={k: deepcopy(v) for k, v in adata.uns.items() if not k.startswith("_scvi_")},
    )


def _dtype_of_sums(counts: sp.csr_matrix, incidence: sp.csr_matrix) -> np.dtype:
    """Return the dtype of `counts`, or a wider integer if sums might not fit (255 + 1 in uint8)."""
    if counts.dtype.kind not in "iu" or not counts.nnz or not incidence.nnz:
        return counts.dtype
    most = int(counts.data.max()) * int(np.bincount(incidence.indices).max())
    return np.result_type(counts.dtype, np.min_scalar_type(most))
