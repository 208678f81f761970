"""Checks of arguments that models of response and of synergy share."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Integral

from anndata import AnnData


def check_cells(cells: object) -> None:
    """Raise unless `cells` is an AnnData.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if not isinstance(cells, AnnData):
        msg = (
            "Expected cells as an AnnData with a row for each cell line or cell, found "
            f"{type(cells).__name__}. For a table of lines x genes: `anndata.AnnData(table)`."
        )
        raise TypeError(msg)


def check_seeds(seeds: object) -> None:
    """Raise unless `seeds` is a list of at least one whole number of 0 or more.

    Raises
    ------
    TypeError
        If it is no list.
    ValueError
        If it is empty, or one of them is no such number.
    """
    if isinstance(seeds, str) or not isinstance(seeds, Collection):
        msg = f"Expected seeds as a list of whole numbers, found {seeds!r}. Pass seeds=[0, 1, 2]."
        raise TypeError(msg)
    if not len(seeds):
        msg = f"Expected at least one seed, found {seeds!r}. Pass seeds=[0]."
        raise ValueError(msg)
    if wrong := [s for s in seeds if not isinstance(s, Integral) or s < 0]:
        msg = f"Expected seeds of 0 or more, whole numbers, found {wrong}. Pass seeds=[0, 1, 2]."
        raise ValueError(msg)
