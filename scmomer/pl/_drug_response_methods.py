"""Scores of drug response over folds, one row for each method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scmomer.pl._figure import finish, panels

_COLORS = {"scmomer": "tab:blue", "scmomer, no network": "tab:cyan", "published network": "tab:red"}
_PERMUTED = ("cells permuted", "drugs permuted")
_NAIVE_COLOR, _PERMUTED_COLOR = "0.45", "tab:orange"
_LABELS = {"scmomer": "scMomer", "scmomer, no network": "scMomer, no network"}
_METRICS = {
    "drug_pearson": "r over lines, mean over drugs",
    "drug_pearson_median": "r over lines, median over drugs",
    "drug_spearman": "Spearman correlation over lines, mean over drugs",
    "normalized_pearson": "r over pairs, without the mean of each drug",
    "pearson": "r over all pairs",
    "rmse": "RMSE",
    "r2": "R²",
    "drug_auroc": "AUROC, mean over drugs",
    "drug_average_precision": "average precision, mean over drugs",
    "auroc": "AUROC over all pairs",
    "average_precision": "average precision over all pairs",
    "coverage": "share of responses in 90 % intervals",
}
_SMALLER_IS_BETTER = ("rmse",)
_FEW = 4  # points that need no band
_SPREAD = 0.16
_BAND: dict[str, Any] = {"linewidth": 11, "alpha": 0.22, "solid_capstyle": "butt", "zorder": 1}


def drug_response_methods(
    evaluation: pd.DataFrame,
    *,
    metric: str = "drug_pearson",
    methods: Sequence[str] | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure:
    """Compare the methods of an evaluation of drug response: models beside naive predictors.

    One row for each method, the best mean on top, and one point for each fold and seed; a bar at the
    mean, and from five points on a band over the middle half of them. Naive predictors are gray,
    exchanged features orange. The dotted line is the best naive mean.

    Parameters
    ----------
    evaluation
        What :meth:`scmomer.DrugResponseModel.evaluate` returns, of one split.
    metric
        One of its columns.
    methods
        Those to show; None for all that have the metric.
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
    KeyError
        If the table has no such column.
    ValueError
        If a method is unknown, no method has the metric, or there are several splits.

    Examples
    --------
    >>> table = scmomer.DrugResponseModel().evaluate(response, lines, smiles, split="lco")
    >>> scmomer.pl.drug_response_methods(table)
    """
    parts = _by_method(evaluation, metric, methods)
    axes = panels(1, ax, (6.4, 0.9 + 0.26 * len(parts)))
    _draw(axes[0], parts)
    naive = [x.mean() for name, x in parts.items() if _is_naive(name)]
    if naive:
        best = min(naive) if metric in _SMALLER_IS_BETTER else max(naive)
        axes[0].axvline(best, color="0.6", linestyle=":", linewidth=1, zorder=0)
    n = max(len(x) for x in parts.values())
    split = f"split {evaluation['split'].iloc[0]!r}, " if "split" in evaluation else ""
    axes[0].set_title(f"{split}{n} fold{'s' if n > 1 else ''}", fontsize="medium")
    axes[0].set_xlabel(_METRICS.get(metric, metric))
    finish(axes, ax is None, save, show)
    figure = axes[0].get_figure(root=True)
    return figure if return_fig and figure is not None else axes[0]


def _is_naive(method: str) -> bool:
    return method not in _COLORS and method not in _PERMUTED


def _by_method(
    table: pd.DataFrame, metric: str, methods: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """Return the scores of each method, best mean first."""
    if absent := [name for name in ("method", metric) if name not in table]:
        msg = (
            f"Expected columns 'method' and {metric!r}, found none named {absent[0]!r} among "
            f"{table.columns.tolist()}. Pass what `model.evaluate(...)` returns and one of its "
            "columns as metric=."
        )
        raise KeyError(msg)
    if "split" in table and table["split"].nunique() > 1:
        names = table["split"].unique().tolist()
        msg = (
            f"Expected one split, found {names}. Run `evaluation = "
            f"evaluation[evaluation['split'] == {names[0]!r}]`."
        )
        raise ValueError(msg)
    known = table["method"].unique().tolist()
    chosen = known if methods is None else list(methods)
    if not chosen or set(chosen) - set(known):
        msg = f"Expected methods among {known}, found {chosen}. Pass some of these."
        raise ValueError(msg)
    scores = {
        name: table.loc[table["method"] == name, metric].dropna().to_numpy() for name in chosen
    }
    scores = {name: values for name, values in scores.items() if len(values)}
    if not scores:
        msg = f"Expected values of {metric!r}, found only NaN. Pass another metric=."
        raise ValueError(msg)
    sign = 1 if metric in _SMALLER_IS_BETTER else -1
    return dict(sorted(scores.items(), key=lambda item: sign * item[1].mean()))


def _draw(ax: Axes, parts: dict[str, np.ndarray]) -> None:
    for row, (name, values) in enumerate(parts.items()):
        color = _PERMUTED_COLOR if name in _PERMUTED else _COLORS.get(name, _NAIVE_COLOR)
        if len(values) > _FEW:
            middle = np.quantile(values, [0.25, 0.75])
            ax.plot(middle, [row, row], color=color, **_BAND)
        offsets = np.linspace(-_SPREAD, _SPREAD, len(values)) if len(values) > 1 else [0.0]
        ax.scatter(values, row + np.asarray(offsets), s=16, color=color, alpha=0.75, linewidths=0)
        ax.plot([values.mean()] * 2, [row - 0.31, row + 0.31], color=color, linewidth=2.2)
        ax.text(
            1.01,
            row,
            f"{values.mean():.3f}",
            transform=ax.get_yaxis_transform(),
            va="center",
            color=color,
            fontsize="small",
        )
    ax.set_yticks(range(len(parts)), [_LABELS.get(name, name) for name in parts])
    for label, name in zip(ax.get_yticklabels(), parts, strict=True):
        label.set_color("0.35" if _is_naive(name) else "black")
    ax.set_ylim(len(parts) - 0.4, -0.6)  # best on top
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
