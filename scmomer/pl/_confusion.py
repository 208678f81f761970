"""Predicted against true labels, as a row-normalised heat map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from scmomer.pl._figure import finish, panels
from scmomer.pl._labels import labels_in

_MAX_NUMBERS = 12  # classes; in a larger map numbers would be too small to read
_CELL, _TEXT = 0.28, 2.6  # inches of a row and of names, title and colour bar
_LARGEST = 14.0


def confusion(
    data: AnnData | MuData,
    true: str,
    predicted: str = "scmomer_label",
    *,
    normalise: bool = True,
    order: Sequence[str] | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure:
    """Plot which share of the cells of each true label got which predicted label.

    Parameters
    ----------
    data
        AnnData or MuData with both columns in obs.
    true, predicted
        Columns of obs: rows and columns of the map. Cells that lack one of them are left out.
    normalise
        Whether rows sum to 1; otherwise numbers of cells.
    order
        Labels in the order to show them, rows and columns alike; None: from the most frequent true
        label. Labels that are only predicted, such as ``"unknown"``, come last.
    ax, save, show
        As in :func:`scmomer.pl.pseudobulk`.
    return_fig
        Whether to return the figure instead of the axes.

    Returns
    -------
    Axes | Figure
        Titled with accuracy and macro-F1 over true labels.

    Raises
    ------
    KeyError
        If a column is absent.
    ValueError
        If no cell has both labels, or `order` leaves out a label.
    """
    table = _table(data, true, predicted, order)
    rows, columns = table.shape
    size = (min(_TEXT + _CELL * columns, _LARGEST), min(_TEXT - 0.6 + _CELL * rows, _LARGEST))
    axes = panels(1, ax, size)
    _draw(axes[0], table, normalise)
    accuracy, f1 = _scores(table)
    axes[0].set_title(f"accuracy {accuracy:.3f}, macro-F1 {f1:.3f}")
    axes[0].set_ylabel(true)
    axes[0].set_xlabel(predicted)
    finish(axes, ax is None, save, show)
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    return figure if return_fig else axes[0]


def _table(
    data: AnnData | MuData, true: str, predicted: str, order: Sequence[str] | None
) -> pd.DataFrame:
    """Cells of each pair of labels, true x predicted."""
    left, right = labels_in(data, true), labels_in(data, predicted)
    known = (left.notna() & right.notna()).to_numpy()
    if not known.any():
        msg = f"Expected cells with both {true!r} and {predicted!r}, found none. Annotate cells that have {true!r}: scmomer.tl.annotate."
        raise ValueError(msg)
    counts = pd.crosstab(left[known], right[known])
    rows = left[known].value_counts().index.tolist()
    extra = [name for name in counts.columns if name not in counts.index]
    if order is not None:
        named = [str(name) for name in order]
        if missing := sorted({*rows, *extra} - set(named)):
            msg = f"Expected all labels in order=, found none of {missing[:5]} there. Add these."
            raise ValueError(msg)
        rows = [name for name in named if name in counts.index]
        extra = [name for name in named if name in extra]
    # Labels of true cells have a column even if no cell got them: the diagonal stays one.
    return counts.reindex(index=rows, columns=[*rows, *extra], fill_value=0)


def _scores(table: pd.DataFrame) -> tuple[float, float]:
    """Accuracy, and F1 averaged over true labels."""
    counts = table.to_numpy(float)
    hits = np.diag(counts[:, : len(counts)])
    f1 = 2 * hits / (counts.sum(1) + counts.sum(0)[: len(counts)])
    return hits.sum() / counts.sum(), float(f1.mean())


def _draw(ax: Axes, table: pd.DataFrame, normalise: bool) -> None:
    values = table.to_numpy(float)
    if normalise:
        values = values / values.sum(axis=1, keepdims=True)
    top = 1.0 if normalise else values.max()
    image = ax.imshow(values, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    ax.set_xticks(range(table.shape[1]), table.columns, rotation=90)
    ax.set_yticks(
        range(table.shape[0]),
        [f"{name} ({n})" for name, n in table.sum(axis=1).items()],
    )
    if max(table.shape) <= _MAX_NUMBERS:
        for row, column in zip(*np.nonzero(values >= 0.005), strict=True):
            text = f"{values[row, column]:.2f}" if normalise else f"{values[row, column]:.0f}"
            colour = "white" if values[row, column] > 0.6 * top else "black"
            ax.text(column, row, text, ha="center", va="center", color=colour, fontsize="x-small")
    label = "share of the true label" if normalise else "cells"
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(image, ax=ax, label=label)
