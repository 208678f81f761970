"""Ranked knockouts: one line of points, or genes x groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from scmomer._checks import whole_number
from scmomer.pl._figure import finish, panels
from scmomer.tasks.perturbation.knockout import Knockout

_LABELS = {
    "embedding": "shift of the embedding",
    "expression": "change of expression",
    "accessibility": "change of accessibility",
    "protein": "change of protein",
    "towards": "shift towards the wanted state",
}
_ROW = 0.24  # inches
_CHANCE = 1.96
_OUTSIDE = "expressed more or less than its random genes"


def knockout(
    result: Knockout,
    *,
    by: str = "embedding_z",
    n_genes: int = 20,
    genes: str | Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
) -> Axes:
    """Show the highest-ranked knockouts of :func:`scmomer.tl.knockout`.

    With one group a point for each gene; the band is what 95 % of random genes of equal expression
    reach if scores are about normal. With several groups a table of colors, genes x groups; gray is
    no score, because too few cells of the group express the gene. Crosses, and open points, mark
    genes that are expressed more, or less, than the genes they are compared with.

    Parameters
    ----------
    result
        The result.
    by
        Column of the table to show, such as ``"accessibility_z"`` or ``"towards"``.
    n_genes
        Genes with the highest score (for ``_p``, the lowest) in any group, as ``result.rank(by)``
        has them.
    genes
        Genes to show instead, in this order.
    groups
        Groups to show, in this order; None for all.
    ax, save, show
        As in :func:`scmomer.pl.pseudobulk`.

    Returns
    -------
    Axes
        The axes.

    Raises
    ------
    KeyError
        If there is no such score, gene or group.
    TypeError
        If `result` is not of :func:`scmomer.tl.knockout`.
    ValueError
        If no gene has a score, or `n_genes` is no whole number above 0.
    """
    if not isinstance(result, Knockout):
        msg = (
            f"Expected a result of scmomer.tl.knockout, found {type(result).__name__}. Pass what it "
            "returns."
        )
        raise TypeError(msg)
    n_genes = whole_number("n_genes", n_genes)
    groups = [groups] if isinstance(groups, str) else groups
    scores, outside = _tables(result, by, n_genes, genes, groups)
    wide = scores.shape[1] > 1
    height = 1.1 + _ROW * len(scores)
    size = (2.4 + 0.28 * scores.shape[1], height + 0.8) if wide else (4.6, height)
    axes = panels(1, ax, size)
    draw = _draw_table if wide else _draw_points
    draw(axes[0], scores, outside, by)
    finish(axes, ax is None, save, show)
    return axes[0]


def _tables(
    result: Knockout,
    by: str,
    n_genes: int,
    genes: str | Sequence[str] | None,
    groups: Sequence[str] | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores, and whether they are beyond the background, genes x groups."""
    ranked = result.rank(by, ascending=by.endswith("_p"))
    wanted = list(result.groups) if groups is None else list(groups)
    chosen = None if genes is None else [genes] if isinstance(genes, str) else list(genes)
    for name, values, known in (("groups", wanted, result.groups), ("genes", chosen, result.genes)):
        if unknown := [v for v in values or () if v not in known]:
            msg = (
                f"Expected {name} of the result, found {unknown}. Pass names such as {known[0]!r}."
            )
            raise KeyError(msg)
    ranked = ranked[ranked["group"].isin(wanted)]
    if chosen is None:
        some = ranked[ranked[by].notna()]
        chosen = list(pd.unique(some["gene"])[:n_genes])
    if not chosen:
        msg = (
            f"Expected genes with a score {by!r}, found none. Too few cells express them: lower "
            "min_cells= of scmomer.tl.knockout, or merge groups."
        )
        raise ValueError(msg)
    tables = (
        ranked.pivot(index="gene", columns="group", values=name).reindex(chosen)[wanted]
        for name in (by, "outside")
    )
    scores, outside = tables
    return scores, outside.fillna(False).astype(bool) & scores.notna()


def _label(by: str) -> str:
    score, _, end = by.rpartition("_")
    if end not in ("z", "p"):
        return _LABELS.get(by, by)
    text = _LABELS.get(score, score)
    return f"{text}\n(z against random genes)" if end == "z" else f"{text}\n(share of random genes)"


def _draw_points(ax: Axes, scores: pd.DataFrame, outside: pd.DataFrame, by: str) -> None:
    values, beyond = scores.iloc[:, 0].to_numpy(float), outside.iloc[:, 0].to_numpy()
    rows = np.arange(len(values))
    if by.endswith("_z"):
        ax.axvspan(-_CHANCE, _CHANCE, color="0.92", zorder=0)
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    ax.hlines(rows, 0, np.nan_to_num(values), color="0.75", linewidth=1, zorder=1)
    for mask, face, label in ((~beyond, "tab:blue", None), (beyond, "white", _OUTSIDE)):
        if mask.any():
            ax.scatter(
                values[mask], rows[mask], s=28, c=face, edgecolors="tab:blue", label=label, zorder=2
            )
    if beyond.any():
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize="small")
    ax.set_yticks(rows, scores.index)
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.set_xlabel(_label(by))
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _draw_table(ax: Axes, scores: pd.DataFrame, outside: pd.DataFrame, by: str) -> None:
    values = scores.to_numpy(float)
    top = float(np.nanquantile(np.abs(values), 0.98)) if np.isfinite(values).any() else 1.0
    signed = by.endswith("_z") or by == "towards"
    ax.set_facecolor("0.9")
    image = ax.imshow(
        np.ma.masked_invalid(values),
        cmap="RdBu_r" if signed else "viridis",
        aspect="auto",
        interpolation="nearest",
        vmin=-top if signed else 0.0,
        vmax=top,
    )
    rows, columns = np.nonzero(outside.to_numpy())
    ax.scatter(columns, rows, marker="x", s=14, c="0.2", linewidths=0.8)
    ax.set_xticks(range(scores.shape[1]), scores.columns, rotation=90)
    ax.set_yticks(range(len(scores)), scores.index)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(image, ax=ax, shrink=min(1.0, 8 / max(len(scores), 1)), extend="both")
    bar.set_label(_label(by).replace("\n", " "))
    bar.outline.set_visible(False)  # type: ignore[operator]
