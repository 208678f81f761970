"""What data of a screen have to be."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer.data import as_text, check_no_missing, check_unique, obs_column, with_values


def check_cells(adata: AnnData, name: str = "adata") -> None:
    """Raise TypeError if data are no AnnData, ValueError if empty or genes have equal names."""
    what = f"{name} of cells x genes"
    if not isinstance(adata, AnnData):
        remedy = "Pass mdata['rna']." if isinstance(adata, MuData) else "Wrap it: AnnData(table)."
        msg = f"Expected {what} as an AnnData, found {type(adata).__name__}. {remedy}"
        raise TypeError(msg)
    if 0 in adata.shape:
        msg = (
            f"Expected {what}, found an AnnData of shape {adata.shape}. Pass some cells and genes."
        )
        raise ValueError(msg)
    check_unique(adata.var_names, f"{name}.var_names")


def check_profile(profile: str) -> None:
    """Raise if values are z-scores."""
    if profile == "zscore":
        msg = (
            "Expected profile 'counts' or 'normalized', found 'zscore': changes of z-scores depend "
            "on which cells were scaled together. Pass counts or log values."
        )
        raise ValueError(msg)


def text_column(data: AnnData | MuData, key: str | None, argument: str) -> np.ndarray:
    """Return a column of obs as text, ``""`` without a key; raise if a value is missing."""
    if key is None:
        return np.full(data.n_obs, "", dtype=object)
    values = obs_column(data, key, argument)
    line = f"Leave them out: `{with_values(data, key)}`."
    check_no_missing(values, f"a value of {argument}{key!r}", line)
    return values.map(as_text).to_numpy(dtype=object)


def library_sizes(adata: AnnData, key: str) -> np.ndarray:
    """Return the total count of each cell, ``(n_cells,)``."""
    column = pd.to_numeric(obs_column(adata, key, "library_size_key="), errors="coerce")
    sizes = column.to_numpy(np.float64)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        bad = int((~(np.isfinite(sizes) & (sizes > 0))).sum())
        msg = (
            f"Expected numbers above 0 in obs[{key!r}], found {bad} other values among "
            f"{len(sizes)}. Leave these cells out, or pass library_size_key=None."
        )
        raise ValueError(msg)
    return sizes
