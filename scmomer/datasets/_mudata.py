"""Construction of AnnData and MuData objects."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scmomer._compat import keep_obs


def modality(X: sp.csr_matrix, obs: pd.DataFrame, var: pd.DataFrame) -> AnnData:
    """Return one modality: counts of shape ``(n_obs, n_vars)`` with annotation."""
    return AnnData(X, obs=obs.copy(), var=var)


def join(parts: Mapping[str, AnnData], obs: pd.DataFrame) -> MuData:
    """Return a MuData of the modalities, in the given order.

    Cells are in the order of ``obs``, which has the union of all cells. Without ``keep_obs``,
    MuData would reorder the cells of mosaic data and add prefixed columns of each modality.
    """
    with keep_obs():
        return MuData(dict(parts), obs=obs)
