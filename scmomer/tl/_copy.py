"""Copies of containers, for the verbs that take ``copy=True``."""

from __future__ import annotations

from typing import TypeVar

from anndata import AnnData
from mudata import MuData

from scmomer._compat import keep_obs
from scmomer.data import MuDataParts

Container = TypeVar("Container", AnnData, MuData)


def copied(data: Container) -> Container:
    """Return a copy in memory with the cells in the same order.

    ``MuData.copy`` of its own moves the cells of a mosaic that lack a modality to the end, and
    pulls the columns of each modality under a prefix.
    """
    with keep_obs():
        if isinstance(data, AnnData):
            return data.to_memory() if data.isbacked else data.copy()
        if not data.isbacked:
            return data.copy()
        in_memory = {key: adata.to_memory() for key, adata in data.mod.items()}
        return MuData(in_memory, **MuDataParts.from_mudata(data).further)


def own(data: Container, copy: bool) -> Container:
    """Return what a verb may write to: the data, or with `copy` a copy of them.

    Raises
    ------
    ValueError
        If nothing can be written to them.
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
