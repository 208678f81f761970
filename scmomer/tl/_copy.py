"""Copies of containers, for functions with ``copy=True``."""

from __future__ import annotations

from typing import TypeVar

from anndata import AnnData
from mudata import MuData

from scmomer._compat import keep_obs
from scmomer.data import MuDataParts

Container = TypeVar("Container", AnnData, MuData)


def copied(data: Container) -> Container:
    """Return a copy in memory with the cells in the same order.

    Without ``keep_obs``, ``MuData.copy`` would move cells that lack a modality to the end and add
    the prefixed columns of each modality.
    """
    with keep_obs():
        if isinstance(data, AnnData):
            return data.to_memory() if data.isbacked else data.copy()
        if not data.isbacked:
            return data.copy()
        in_memory = {key: adata.to_memory() for key, adata in data.mod.items()}
        return MuData(in_memory, **MuDataParts.from_mudata(data).further)


def own(data: Container, copy: bool) -> Container:
    """Return the data to write to: `data`, or a copy of them if `copy`.

    Raises
    ------
    ValueError
        If `data` cannot be written to.
    """
    if copy:
        return copied(data)
    if isinstance(data, AnnData) and data.is_view and data.isbacked:
        msg = (
            "Expected data that can be written to, found a view of a file. Run "
            "`adata = adata.to_memory()` first, or pass copy=True."
        )
        raise ValueError(msg)
    return data
