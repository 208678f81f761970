"""AnnData objects to a MuData, the same way for every dataset."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from scmomer._compat import keep_obs


def modality(X: sparse.csr_matrix, obs: pd.DataFrame, var: pd.DataFrame) -> AnnData:
    """One modality: counts of shape ``(n_obs, n_vars)`` with their annotation."""
    return AnnData(X, obs=obs.copy(), var=var)


def join(parts: Mapping[str, AnnData], obs: pd.DataFrame) -> MuData:
    """Joins modalities, in the order given.

    The cells come in the order of ``obs``, which holds the union of both. MuData of its own would
    put a mosaic's cells in another order, and pull the columns of each modality under a prefix.
    """
    with keep_obs():
        return MuData(dict(parts), obs=obs)
