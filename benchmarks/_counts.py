"""Counts of data that were published without them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

_CHUNK = 1_000_000  # values


def recover_counts(lognorm: AnnData) -> AnnData:
    """Undo ``log(1 + counts / total * target)``; the smallest value of a cell is one count."""
    x = sp.csr_matrix(lognorm.X).astype(np.float64)
    x.eliminate_zeros()
    x.data = np.expm1(x.data)
    lowest = np.array([row.data.min() if row.nnz else 1.0 for row in x])
    x = (sp.diags(1 / lowest) @ x).tocsr()
    off = np.abs(x.data - np.round(x.data)).max()
    if off > 0.01:
        raise SystemExit(f"Expected whole counts, found values {off:.2g} away from them.")
    x.data = np.round(x.data)
    return AnnData(x.astype(np.float32), obs=lognorm.obs.copy(), var=lognorm.var[[]])


def pseudocounts(log2: AnnData) -> AnnData:
    """Return ``round(2 ** x - 1)``: not counts, but integers of the same expression."""
    x = sp.csr_matrix(log2.X).astype(np.float64)
    x.data = np.round(np.exp2(x.data) - 1)
    x.eliminate_zeros()
    return AnnData(x.astype(np.float32), obs=log2.obs.copy(), var=log2.var[[]])


def are_counts(X: sp.spmatrix | np.ndarray) -> bool:
    """Return whether all values are whole and none is negative."""
    values = np.asarray(X.data if sp.issparse(X) else X).ravel()
    parts = (values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK))
    return all(part.min() >= 0 and np.array_equal(part, np.rint(part)) for part in parts)
