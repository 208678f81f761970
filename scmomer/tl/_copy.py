"""Copies of containers, for the verbs that take ``copy=True``."""

from __future__ import annotations

from typing import TypeVar

from anndata import AnnData
from mudata import MuData

from scmomer._compat import keep_obs

Container = TypeVar("Container", AnnData, MuData)


def copied(data: Container) -> Container:
    """Return a copy with the cells in the same order.

    ``MuData.copy`` of its own moves the cells of a mosaic that lack a modality to the end, and
    pulls the columns of each modality under a prefix.
    """
    with keep_obs():
        return data.copy()
