"""Variability of genes between groups, against how often they are detected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from scmomer.data import check_container, display_name
from scmomer.pl._figure import finish, panels


def gene_variability(
    data: AnnData | MuData,
    *,
    key: str = "gene_variability",
    n_genes: int = 15,
    genes: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
) -> Axes:
    """Plot how far each gene's embedding moves between groups, against its detection.

    Parameters
    ----------
    data
        AnnData or MuData with the result of :func:`scmomer.tl.gene_variability`. Not modified.
    key
        Its key in ``varm``.
    n_genes
        Most variable genes to name.
    genes
        Genes to name and mark besides, for example housekeeping genes. Of repeated names the
        first is shown.
    ax
        Axes to draw into; None creates a figure.
    save
        File to write to; the suffix sets the format.
    show
        Whether to show the figure; None follows :attr:`scanpy.settings.autoshow`.

    Returns
    -------
    Axes
        A point for each gene: ``detection`` on a logarithmic axis, ``variability``.

    Raises
    ------
    KeyError
        If there is no such result, or a gene is not in the data.
    TypeError
        If `data` is neither AnnData nor MuData.
    ValueError
        If no gene has a variability.
    """
    check_container(data)
    table = _table(data, key)
    genes = [genes] if isinstance(genes, str) else genes
    if genes is not None and (unknown := [g for g in genes if g not in table.index]):
        msg = f"Expected genes of the data, found {unknown}. Pass names in var_names."
        raise KeyError(msg)
    known = table[table["variability"].notna() & (table["detection"] > 0)]
    if known.empty:
        msg = (
            f"Expected genes with a variability in varm[{key!r}], found none of {len(table)}. Run "
            "scmomer.tl.gene_variability with a lower min_cells= or larger groups."
        )
        raise ValueError(msg)
    top = list(known.sort_values("variability", ascending=False).index[:n_genes])
    axes = panels(1, ax, (6.0, 4.2))
    _draw(axes[0], known, top, [g for g in genes or () if g in known.index])
    finish(axes, ax is None, save, show)
    return axes[0]


def _table(data: AnnData | MuData, key: str) -> pd.DataFrame:
    parts = data.mod.values() if isinstance(data, MuData) else [data]
    for part in parts:
        if key not in part.varm:
            continue
        table = part.varm[key]
        if isinstance(table, pd.DataFrame) and {"variability", "detection"} <= set(table):
            return table[~table.index.duplicated()]
        msg = (
            f"Expected a table of scmomer.tl.gene_variability in varm[{key!r}], found "
            f"{type(table).__name__}. Pass its key_added as key=."
        )
        raise KeyError(msg)
    msg = (
        f"Expected {key!r} in varm of {display_name(data)}, found "
        f"{sorted({k for part in parts for k in part.varm})}. Run scmomer.tl.gene_variability first."
    )
    raise KeyError(msg)


def _draw(ax: Axes, table: pd.DataFrame, top: list[str], marked: list[str]) -> None:
    x, y = table["detection"], table["variability"]
    ax.scatter(x, y, s=6, color="0.7", linewidths=0, rasterized=True)
    for names, color in ((top, "tab:red"), (marked, "tab:blue")):
        ax.scatter(x[names], y[names], s=14, color=color, linewidths=0)
        for name in names:
            ax.annotate(
                name,
                (float(x[name]), float(y[name])),
                xytext=(3, 2),
                textcoords="offset points",
                fontsize="x-small",
                color=color,
            )
    ax.axhline(0, color="0.5", linewidth=0.8, linestyle="--")
    ax.set_xscale("log")
    low = float(np.nanquantile(y, 0.001))
    ax.set_ylim(bottom=min(low, -0.05 * float(y.max())))
    ax.set_xlabel("share of cells that express the gene")
    ax.set_ylabel("variability between groups")
