"""Records of function calls, in ``uns``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi import settings

from scmomer._constants import KEYS
from scmomer.model import SCMOMER


def as_stored(value: Any) -> Any:
    """Return a value as anndata reads it back from h5ad and zarr: lists and tuples as arrays."""
    if isinstance(value, dict):
        return {str(k): as_stored(v) for k, v in value.items() if v is not None}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, pd.Index | pd.Series | np.ndarray | list | tuple):
        values = np.asarray(value)
        return values.astype(str).astype(object) if values.dtype.kind in "OUT" else values
    return value


def record(data: AnnData | MuData, model: SCMOMER | None, verb: str, **params: Any) -> None:
    """Write ``uns["scmomer"][verb]``: parameters and model id, if any, as files store them."""
    entry = {} if model is None else {"model_id": model.id}
    entry["params"] = as_stored(params)
    if KEYS.UNS in data.uns and not isinstance(data.uns[KEYS.UNS], Mapping):
        warnings.warn(
            f"uns[{KEYS.UNS!r}] is a {type(data.uns[KEYS.UNS]).__name__}, not a record of scmomer, "
            "and is replaced. Keep it under another key.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )
    data.uns[KEYS.UNS] = {**records(data), verb: entry}


def records(data: AnnData | MuData) -> dict[str, Any]:
    """Return ``uns["scmomer"]``; empty if it is not a record of scmomer."""
    found = data.uns.get(KEYS.UNS)
    return dict(found) if isinstance(found, Mapping) else {}
