"""Predicted synergy: against the observed one, and as a test of synergistic or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from sklearn.metrics import precision_recall_curve, roc_curve

from scmomer._checks import finite_number
from scmomer.metrics import drug_synergy as scores_of
from scmomer.pl._figure import finish, panels

_NEEDED = ("observed", "predicted")
_OURS = "scmomer"
_LABELS = {
    "scmomer": "scMomer",
    "interactions": "drugs, lines, drugs in lines",
    "pairs": "drugs, lines, pairs",
    "additive": "drugs + lines",
    "mean": "mean",
    "networks": "networks alone",
    "permuted cells": "lines exchanged",
    "permuted drugs": "structures exchanged",
}
_GRAY = ("interactions", "pairs", "additive", "mean")
_STYLES = {"interactions": "-", "pairs": "-.", "additive": "--", "mean": ":"}
_LIMITS = (0.1, 99.9)  # percentiles shown


def drug_synergy(
    predictions: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
    threshold: float = 30.0,
    ax: Sequence[Axes] | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
) -> list[Axes]:
    """Plot predicted against observed synergy, with ROC and precision-recall curves of methods.

    Rows of all folds and seeds are pooled, so that scores differ a little from means over folds.

    Parameters
    ----------
    predictions
        Second table of :meth:`scmomer.DrugSynergyModel.evaluate` with ``predictions=True``; or any
        with columns ``observed`` and ``predicted``, and perhaps ``probability`` and ``method``.
    methods
        Those to show, the first one in the first panel; None for all but ``"mean"``, ``"scmomer"``
        first.
    threshold
        Observed synergy above which a row is synergistic.
    ax
        Three axes to draw into; None creates a figure.
    save, show
        As in :func:`scmomer.pl.pseudobulk`.

    Returns
    -------
    list[Axes]
        Observed against predicted, titled with Pearson's r; ROC curves with AUROC; precision-recall
        curves with average precision, and the share of synergistic rows as a dotted line. Curves
        are of the probability, of a method without one of the prediction.

    Raises
    ------
    TypeError
        If `predictions` are no DataFrame.
    KeyError
        If a column is absent.
    ValueError
        If there are no rows, `threshold` is no number, a method is unknown, or no row or all rows
        are above the threshold.
    """
    threshold = finite_number("threshold", threshold)
    parts = _by_method(predictions, methods)
    first = next(iter(parts))
    positive = parts[first]["observed"] > threshold
    if not positive.any() or positive.all():
        msg = (
            f"Expected observed synergies above and below {threshold:g}, found {positive.sum()} of "
            f"{len(positive)} above. Pass another threshold=."
        )
        raise ValueError(msg)
    axes = panels(3, ax, (3.9, 3.6))
    _draw_values(axes[0], parts[first], first, threshold)
    for number, (name, part) in enumerate(parts.items()):
        _draw_curves(axes[1:], name, part, threshold, number)
    axes[1].plot([0, 1], [0, 1], color="0.7", linestyle=":", linewidth=1, zorder=0)
    axes[2].axhline(positive.mean(), color="0.7", linestyle=":", linewidth=1, zorder=0)
    axes[1].set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    axes[2].set(xlabel="recall", ylabel="precision", title="precision and recall")
    for panel in axes[1:]:
        panel.set(xlim=(0, 1), ylim=(0, 1.02))
        panel.legend(loc="best", frameon=False, fontsize="x-small", handlelength=1.5)
        panel.spines[["top", "right"]].set_visible(False)
    finish(axes, ax is None, save, show)
    return axes


def _by_method(table: pd.DataFrame, methods: Sequence[str] | None) -> dict[str, pd.DataFrame]:
    """Return the rows of each method to show, in order."""
    if not isinstance(table, pd.DataFrame):
        msg = (
            f"Expected predictions as a DataFrame, found {type(table).__name__}. Pass the second "
            "table of `model.evaluate(..., predictions=True)`."
        )
        raise TypeError(msg)
    if absent := [name for name in _NEEDED if name not in table]:
        msg = (
            f"Expected columns {[*_NEEDED]} in predictions, found none named {absent}. Pass the "
            "second table of `model.evaluate(..., predictions=True)`."
        )
        raise KeyError(msg)
    if "method" not in table:
        table = table.assign(method=_OURS)
    table = table[table["observed"].notna()]
    if table.empty:
        msg = (
            "Expected rows with an observed synergy in predictions, found none. Pass the second "
            "table of `model.evaluate(..., predictions=True)`."
        )
        raise ValueError(msg)
    known = table["method"].unique().tolist()
    if isinstance(methods, str):
        msg = f"Expected methods as a list, found {methods!r}. Pass methods=[{methods!r}]."
        raise ValueError(msg)
    if methods is None:
        # A constant has no curve; pooled over folds it would seem to have one.
        methods = sorted((m for m in known if m != "mean"), key=lambda m: (m in _GRAY, m != _OURS))
    chosen = list(methods)
    if not chosen or set(chosen) - set(known):
        msg = f"Expected methods among {known}, found {chosen}. Pass some of these."
        raise ValueError(msg)
    return {name: table[table["method"] == name] for name in chosen}


def _draw_values(ax: Axes, part: pd.DataFrame, name: str, threshold: float) -> None:
    x, y = part["predicted"].to_numpy(), part["observed"].to_numpy()
    low, high = np.percentile(np.concatenate([x, y]), _LIMITS)
    pad = 0.03 * (high - low)
    extent = (low - pad, high + pad)
    ax.hexbin(
        x,
        y,
        gridsize=45,
        extent=(*extent, *extent),
        bins="log",
        mincnt=1,
        cmap="viridis",
        linewidths=0.2,
    )
    ax.plot(extent, extent, color="0.3", linewidth=0.8, linestyle="--")
    ax.axhline(threshold, color="0.7", linewidth=0.8, linestyle=":", zorder=0)
    ax.axvline(threshold, color="0.7", linewidth=0.8, linestyle=":", zorder=0)
    scores = scores_of(y, x, threshold=threshold)
    ax.set(
        xlim=extent,
        ylim=extent,
        xlabel="predicted synergy",
        ylabel="observed synergy",
        title=f"{_LABELS.get(name, name)}: r = {scores['pearson']:.2f}, RMSE {scores['rmse']:.1f}",
    )
    ax.set_aspect("equal")
    ax.spines[["top", "right"]].set_visible(False)


def _draw_curves(
    axes: Sequence[Axes], name: str, part: pd.DataFrame, threshold: float, number: int
) -> None:
    """Draw the curves of one method."""
    positive = (part["observed"] > threshold).to_numpy()
    has_probability = "probability" in part and part["probability"].notna().all()
    score = part["probability" if has_probability else "predicted"].to_numpy()
    found = scores_of(np.where(positive, 1.0, 0.0), score, threshold=0.5)
    colors = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
    gray = name in _GRAY
    style: dict[str, Any] = {
        "color": "0.45" if gray else colors[number % len(colors)],
        "linestyle": _STYLES.get(name, "-"),
        "linewidth": 1.8 if number == 0 else 1.1,
        "zorder": 4 if number == 0 else 2,
    }
    label = _LABELS.get(name, name)
    fpr, tpr, _ = roc_curve(positive, score)
    precision, recall, _ = precision_recall_curve(positive, score)
    axes[0].plot(fpr, tpr, label=f"{label} {found['auroc']:.3f}", **style)
    # From the most probable rows on; the last point (recall 0, precision 1) is a convention.
    label = f"{label} {found['average_precision']:.3f}"
    axes[1].step(recall[:-1], precision[:-1], where="post", label=label, **style)
