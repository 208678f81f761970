"""What was done with which model, in ``uns``."""

from __future__ import annotations

from typing import Any

from anndata import AnnData
from mudata import MuData

from scmomer._constants import KEYS
from scmomer.model import SCMOMER


def record(data: AnnData | MuData, model: SCMOMER, verb: str, **params: Any) -> None:
    """Write ``uns["scmomer"][verb]``: parameters and model id."""
    entry = {"model_id": model.id, "params": {k: v for k, v in params.items() if v is not None}}
    data.uns[KEYS.UNS] = {**data.uns.get(KEYS.UNS, {}), verb: entry}
