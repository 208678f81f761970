"""Scores of gene embeddings beside controls, one row for each task."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scmomer.pl._figure import finish, panels
from scmomer.tasks.genes import GeneProperty

_LABELS = {
    "embedding": "embedding",
    "expression": "mean expression, detection",
    "gene_sets": "number of gene sets",
    "prefix": "letters of the name",
    "random": "random vectors",
}
_CONTROLS = ("expression", "gene_sets", "prefix", "random")
_MARKERS = "osD^v<>P"
_METRICS = {"auroc": "AUROC", "average_precision": "average precision"}
_SPREAD = 0.6  # height of the points of a task, in rows
_INTERVAL = 1.96


def gene_property(
    result: GeneProperty,
    *,
    metric: str = "auroc",
    classifier: str | None = None,
    sort: bool = True,
    ax: Axes | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure:
    """Show the scores of :func:`scmomer.tl.gene_property`: the embedding beside all other rows.

    One row for each task, one point for each features, with the 95 % interval of repeated
    cross-validation. Below the name of a task are its numbers of positive and of all genes.
    Opponents are filled, controls are open. The dotted line is the score of
    chance (for average precision one for each task).

    Parameters
    ----------
    result
        The result.
    metric
        ``"auroc"`` or ``"average_precision"``.
    classifier
        ``"logistic"`` or ``"forest"``; None for the first.
    sort
        Sort tasks by descending score of the embedding; otherwise keep their order.
    ax, save, show
        As in :func:`scmomer.pl.pseudobulk`.
    return_fig
        Return the figure instead of the axes.

    Returns
    -------
    Axes | Figure
        The axes.

    Raises
    ------
    TypeError
        If `result` is not of :func:`scmomer.tl.gene_property`.
    ValueError
        If there is no such metric or classifier.
    """
    table = _rows(result, metric, classifier)
    own = table[table["features"] == "embedding"]
    if sort:
        own = own.sort_values("mean", ascending=False, kind="stable")
    tasks = own["task"].tolist()
    n_features = table["features"].nunique()
    height = 0.9 + (0.16 + 0.11 * n_features) * len(tasks)
    axes = panels(1, ax, (6.4, max(height, 0.55 + 0.23 * n_features)))
    _draw(axes[0], table, tasks)
    _draw_chance(axes[0], own, metric)
    axes[0].set_xlabel(_METRICS[metric])
    figure = axes[0].get_figure(root=True)
    finish(axes, ax is None, save, show)
    return figure if return_fig and figure is not None else axes[0]


def _rows(result: GeneProperty, metric: str, classifier: str | None) -> pd.DataFrame:
    """Return the rows of one metric and classifier."""
    if not isinstance(result, GeneProperty):
        msg = (
            f"Expected a result of scmomer.tl.gene_property, found {type(result).__name__}. Pass "
            "what it returns."
        )
        raise TypeError(msg)
    table = result.table
    chosen = {"metric": metric, "classifier": classifier or table["classifier"].iloc[0]}
    for column, value in chosen.items():
        if value not in set(table[column]):
            known = table[column].unique().tolist()
            msg = f"Expected {column} to be one of {known}, found {value!r}. Pass {known[0]!r}."
            raise ValueError(msg)
        table = table[table[column] == value]
    return table


def _draw(ax: Axes, table: pd.DataFrame, tasks: list[str]) -> None:
    names = table["features"].unique().tolist()
    names = [n for n in names if n not in _CONTROLS] + [n for n in _CONTROLS if n in names]
    offsets = (np.arange(len(names)) - (len(names) - 1) / 2) * _SPREAD / max(len(names) - 1, 1)
    colors = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
    others = 0
    for number, (name, offset) in enumerate(zip(names, offsets, strict=True)):
        part = table[table["features"] == name].set_index("task").loc[tasks]
        control = name in _CONTROLS
        color = "0.45" if control else colors[others % len(colors)]
        others += not control
        ax.errorbar(
            part["mean"],
            np.arange(len(tasks)) + offset,
            xerr=_INTERVAL * part["se"].fillna(0),
            fmt=_MARKERS[number % len(_MARKERS)],
            color=color,
            markersize=6 if name == "embedding" else 4.5,
            markerfacecolor="white" if control else color,
            elinewidth=1,
            zorder=3 if name == "embedding" else 2,
            label=_LABELS.get(name, name),
        )
    sizes = table.drop_duplicates("task").set_index("task").loc[tasks]
    ticks = [
        f"{t}\n({row.n_positive} / {row.n_positive + row.n_negative})"
        for t, row in zip(tasks, sizes.itertuples(), strict=True)
    ]
    ax.set_yticks(range(len(tasks)), ticks)
    for y in range(1, len(tasks)):
        ax.axhline(y - 0.5, color="0.9", linewidth=0.8, zorder=0)
    ax.set_ylim(len(tasks) - 0.5, -0.5)  # first task on top
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _draw_chance(ax: Axes, own: pd.DataFrame, metric: str) -> None:
    """Mark the score without any information."""
    if metric == "auroc":
        ax.axvline(0.5, color="0.6", linestyle=":", linewidth=1, zorder=1)
        return
    share = own["n_positive"] / (own["n_positive"] + own["n_negative"])
    rows = np.arange(len(own))
    ax.vlines(share, rows - 0.5, rows + 0.5, color="0.6", linestyle=":", linewidth=1, zorder=1)
