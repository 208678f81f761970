"""Predicted against true labels, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from scmomer._deprecated import renamed_arguments
from scmomer.pl._figure import finish, panels
from scmomer.pl._labels import labels_in

_MAX_CLASSES_WITH_NUMBERS = 12  # in larger maps numbers are too small to read
_ROW_INCHES, _TEXT_INCHES = 0.28, 2.6  # of a row; of names, title and color bar
_MAX_INCHES = 14.0


@renamed_arguments(normalise="normalize")
def confusion(
    data: AnnData | MuData,
    true: str,
    predicted: str = "scmomer_label",
    *,
    normalize: bool = True,
    order: Sequence[str] | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure:
    """Plot a confusion matrix of true and predicted labels.

    Parameters
    ----------
    data
        AnnData or MuData with both columns in obs.
    true, predicted
        Columns of obs: rows and columns of the map. Cells without one of the labels are left out.
    normalize
        Normalize rows to a sum of 1; otherwise show numbers of cells.
    order
        Order of the labels in rows and columns; None sorts by frequency of the true label. Labels
        that are only predicted, such as ``"unknown"``, come last.
    ax, save, show
        As in :func:`scmomer.pl.pseudobulk`.
    return_fig
        Return the figure instead of the axes.

    Returns
    -------
    Axes | Figure
        The title has accuracy and macro-F1 over true labels.

    Raises
    ------
    KeyError
        If a column is absent.
    ValueError
        If no cell has both labels, or `order` leaves out a label.
    """
    table = _table(data, true, predicted, order)
    rows, columns = table.shape
    size = (
        min(_TEXT_INCHES + _ROW_INCHES * columns, _MAX_INCHES),
        min(_TEXT_INCHES - 0.6 + _ROW_INCHES * rows, _MAX_INCHES),
    )
    axes = panels(1, ax, size)
    _draw(axes[0], table, normalize)
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
    """Return the number of cells of each pair of labels, true x predicted."""
    left, right = labels_in(data, true), labels_in(data, predicted)
    known = (left.notna() & right.notna()).to_numpy()
    if not known.any():
        msg = (
            f"No cell has both {true!r} and {predicted!r}. Run scmomer.tl.annotate on cells with "
            f"{true!r}."
        )
        raise ValueError(msg)
    counts = pd.crosstab(left[known], right[known])
    rows = left[known].value_counts().index.tolist()
    extra = [name for name in counts.columns if name not in counts.index]
    if order is not None:
        named = [str(name) for name in order]
        if missing := sorted({*rows, *extra} - set(named)):
            msg = f"order= lacks the labels {missing[:5]}. Add them."
            raise ValueError(msg)
        rows = [name for name in named if name in counts.index]
        extra = [name for name in named if name in extra]
    # All true labels have a column, so that the diagonal is complete.
    return counts.reindex(index=rows, columns=[*rows, *extra], fill_value=0)


def _scores(table: pd.DataFrame) -> tuple[float, float]:
    """Return accuracy, and F1 averaged over true labels."""
    counts = table.to_numpy(float)
    hits = np.diag(counts[:, : len(counts)])
    f1 = 2 * hits / (counts.sum(1) + counts.sum(0)[: len(counts)])
    return hits.sum() / counts.sum(), float(f1.mean())


def _draw(ax: Axes, table: pd.DataFrame, normalize: bool) -> None:
    values = table.to_numpy(float)
    if normalize:
        values = values / values.sum(axis=1, keepdims=True)
    top = 1.0 if normalize else values.max()
    image = ax.imshow(values, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    ax.set_xticks(range(table.shape[1]), table.columns, rotation=90)
    ax.set_yticks(
        range(table.shape[0]),
        [f"{name} ({n})" for name, n in table.sum(axis=1).items()],
    )
    if max(table.shape) <= _MAX_CLASSES_WITH_NUMBERS:
        for row, column in zip(*np.nonzero(values >= 0.005), strict=True):
            text = f"{values[row, column]:.2f}" if normalize else f"{values[row, column]:.0f}"
            color = "white" if values[row, column] > 0.6 * top else "black"
            ax.text(column, row, text, ha="center", va="center", color=color, fontsize="x-small")
    label = "share of the true label" if normalize else "cells"
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(image, ax=ax, label=label)
