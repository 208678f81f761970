"""Integration scores of several embeddings, as a colored table."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

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
_COLORS = {"bio conservation": "Blues", "batch correction": "Greens", _MEANS: "Purples"}
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
_GROUP_GAP = 0.25  # in columns


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

    Rows are embeddings, columns are metrics and their means; 1 is best. Colors range from the worst
    to the best score of each column; the best is bold.

    Parameters
    ----------
    report
        The returned table, or the data that the report was written to.
    sort
        Sort rows by descending total; otherwise keep the order of the report.
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
        If there is no report, or columns are missing.
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
    """Return the table of the report."""
    if not isinstance(report, pd.DataFrame):
        entries = report.uns.get(KEYS.UNS, {})
        if INTEGRATION_KEY not in entries:
            msg = (
                f"Expected a report in uns[{KEYS.UNS!r}][{INTEGRATION_KEY!r}], found "
                f"{sorted(entries)}. Run scmomer.tl.integration_report first."
            )
            raise KeyError(msg)
        report = entries[INTEGRATION_KEY]["table"]
    if missing := [name for name in INTEGRATION_SCORES if name not in report]:
        msg = (
            f"Expected columns {list(INTEGRATION_SCORES)}, found {list(report.columns)}, without "
            f"{missing}. Pass the table of scmomer.tl.integration_report."
        )
        raise KeyError(msg)
    return report


def _columns(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return the metrics of each group that are in the table, in the order of columns."""
    groups = {**_GROUPS, _MEANS: INTEGRATION_SCORES}
    found = {name: [m for m in members if m in table] for name, members in groups.items()}
    return {name: members for name, members in found.items() if members}


def _draw(ax: Axes, table: pd.DataFrame, columns: dict[str, list[str]]) -> None:
    start, ticks, n = 0.0, {}, len(table)
    for group, members in columns.items():
        values = table[members].to_numpy()
        for number, metric in enumerate(members):
            ticks[metric] = start + number
            _column(ax, values[:, number], start + number, mpl.colormaps[_COLORS[group]])
        if group != _MEANS:
            middle = start + (len(members) - 1) / 2
            ax.text(middle, n - 0.3, group, ha="center", va="top", fontweight="bold")
        start += len(members) + _GROUP_GAP
    ax.set_xlim(-0.5, start - _GROUP_GAP - 0.5)
    ax.set_ylim(n + 0.1, -0.5)  # first embedding on top, group names below
    ax.set_xticks(list(ticks.values()), [_LABELS[m] for m in ticks], rotation=40, ha="left")
    ax.xaxis.tick_top()
    ax.set_yticks(range(n), [str(name) for name in table.index])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _column(ax: Axes, values: np.ndarray, x: float, colors: mpl.colors.Colormap) -> None:
    """Draw the scores of one metric, one square for each embedding."""
    low, high = np.nanmin(values), np.nanmax(values)
    for y, value in enumerate(values):
        place = 0.5 if high == low else (value - low) / (high - low)
        best = value == high
        shade = colors(0.08 + 0.72 * place) if np.isfinite(value) else "white"
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
