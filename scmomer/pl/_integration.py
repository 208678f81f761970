"""Integration scores of several embeddings, as a table in colour."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData
from numpy.typing import NDArray

from scmomer._constants import (
    INTEGRATION_BATCH,
    INTEGRATION_BIO,
    INTEGRATION_KEY,
    INTEGRATION_SCORES,
    KEYS,
)
from scmomer.pl._figure import finish, panels

_GROUPS = {
    "bio conservation": tuple(INTEGRATION_BIO.values()),
    "batch correction": tuple(INTEGRATION_BATCH.values()),
}
_MEANS = "means"
_COLOURS = {"bio conservation": "Blues", "batch correction": "Greens", _MEANS: "Purples"}
_LABELS = {
    "isolated_labels": "isolated labels",
    "kmeans_nmi": "k-means NMI",
    "kmeans_ari": "k-means ARI",
    "silhouette_label": "silhouette",
    "clisi": "cLISI",
    "bras": "BRAS",
    "ilisi": "iLISI",
    "kbet": "kBET",
    "graph_connectivity": "graph connectivity",
    "bio_conservation": "bio conservation",
    "batch_correction": "batch correction",
    "total": "total",
}
_GAP = 0.25  # columns between groups


def integration(
    report: pd.DataFrame | AnnData | MuData,
    *,
    sort: bool = True,
    ax: Axes | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure:
    """Show the scores of :func:`scmomer.tl.integration_report`.

    Rows are embeddings, columns metrics and their means, all best at 1. Numbers are the scores; the
    colour of a cell says where its score lies between the worst and the best of its column, and the
    best is bold.

    Parameters
    ----------
    report
        The table that it returned, or the data that it was written into.
    sort
        Put the best total first; otherwise rows are as in the report.
    ax, save, show
        As in :func:`scmomer.pl.pseudobulk`.
    return_fig
        Return the figure instead of the axes.

    Returns
    -------
    Axes | Figure
        The axes with the table.

    Raises
    ------
    KeyError
        If there is no report, or the table lacks the total.
    """
    table = _table(report)
    if sort:
        table = table.sort_values("total", ascending=False, kind="stable")
    columns = _columns(table)
    width = 1.6 + 0.62 * sum(map(len, columns.values()))
    axes = panels(1, ax, (width, 1.9 + 0.34 * len(table)))
    _draw(axes[0], table, columns)
    figure = axes[0].get_figure(root=True)
    finish(axes, ax is None, save, show)
    return figure if return_fig and figure is not None else axes[0]


def _table(report: pd.DataFrame | AnnData | MuData) -> pd.DataFrame:
    """Return the report out of whatever holds it."""
    if not isinstance(report, pd.DataFrame):
        entries = report.uns.get(KEYS.UNS, {})
        if INTEGRATION_KEY not in entries:
            msg = (
                f"Expected a report in uns[{KEYS.UNS!r}][{INTEGRATION_KEY!r}], found {sorted(entries)}. Run "
                "scmomer.tl.integration_report first."
            )
            raise KeyError(msg)
        report = entries[INTEGRATION_KEY]["table"]
    if missing := [name for name in INTEGRATION_SCORES if name not in report]:
        msg = f"Expected columns {list(INTEGRATION_SCORES)}, found {list(report.columns)}, without {missing}. Pass the table of scmomer.tl.integration_report."
        raise KeyError(msg)
    return report


def _columns(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return the metrics of each group that the table has, in the order of columns."""
    groups = {**_GROUPS, _MEANS: INTEGRATION_SCORES}
    there = {name: [m for m in members if m in table] for name, members in groups.items()}
    return {name: members for name, members in there.items() if members}


def _draw(ax: Axes, table: pd.DataFrame, columns: dict[str, list[str]]) -> None:
    start, ticks, n = 0.0, {}, len(table)
    for group, members in columns.items():
        values = table[members].to_numpy()
        for number, metric in enumerate(members):
            ticks[metric] = start + number
            _column(ax, values[:, number], start + number, mpl.colormaps[_COLOURS[group]])
        if group != _MEANS:
            middle = start + (len(members) - 1) / 2
            ax.text(middle, n - 0.3, group, ha="center", va="top", fontweight="bold")
        start += len(members) + _GAP
    ax.set_xlim(-0.5, start - _GAP - 0.5)
    ax.set_ylim(n + 0.1, -0.5)  # the first embedding on top, room for the names of groups below
    ax.set_xticks(list(ticks.values()), [_LABELS[m] for m in ticks], rotation=40, ha="left")
    ax.xaxis.tick_top()
    ax.set_yticks(range(n), [str(name) for name in table.index])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _column(ax: Axes, values: NDArray[np.float64], x: float, colours: mpl.colors.Colormap) -> None:
    """Draw the scores of one metric, one square for each embedding."""
    low, high = np.nanmin(values), np.nanmax(values)
    for y, value in enumerate(values):
        place = 0.5 if high == low else (value - low) / (high - low)
        best = value == high
        shade = colours(0.08 + 0.72 * place) if np.isfinite(value) else "white"
        square = mpl.patches.Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, facecolor=shade)
        ax.add_patch(square)
        ax.text(
            x,
            y,
            f"{value:.2f}" if np.isfinite(value) else "-",
            ha="center",
            va="center",
            fontsize="small",
            fontweight="bold" if best else "normal",
            color="white" if np.isfinite(value) and place > 0.6 else "black",
        )
