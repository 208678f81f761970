"""Axes to draw into, and what happens to the picture afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import scanpy as sc
from matplotlib.axes import Axes

_DPI = 150
_MAX_COLUMNS = 4


def panels(
    n: int, ax: Axes | Sequence[Axes] | None, size: tuple[float, float], columns: int = _MAX_COLUMNS
) -> list[Axes]:
    """Return the axes of `n` panels: those given, or those of a new figure.

    Parameters
    ----------
    n
        Number of panels.
    ax
        Axes to draw into, one for each panel; None makes a figure.
    size
        Width and height of a panel in a new figure, in inches.
    columns
        Panels side by side at most.

    Raises
    ------
    ValueError
        If the number of axes given is not that of panels.
    """
    if ax is not None:
        axes = [ax] if isinstance(ax, Axes) else list(np.ravel(np.asarray(ax, dtype=object)))
        if len(axes) != n:
            msg = f"Expected one Axes for each of {n} panels in ax=, found {len(axes)}. Pass {n} Axes."
            raise ValueError(msg)
        return axes
    columns = min(n, columns)
    rows = -(-n // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(size[0] * columns, size[1] * rows),
        squeeze=False,
        layout="constrained",
    )
    for unused in grid.ravel()[n:]:
        figure.delaxes(unused)
    return list(grid.ravel()[:n])


def finish(axes: Sequence[Axes], own: bool, save: str | Path | None, show: bool | None) -> None:
    """Save and show the picture.

    Parameters
    ----------
    axes
        Axes of one figure.
    own
        Whether the figure was made for them, not given by the caller.
    save
        File to write to; its suffix tells the format.
    show
        Whether to show the figure. None shows it as :attr:`scanpy.settings.autoshow` says if it was
        made here and is not saved.
    """
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    show = own and save is None and sc.settings.autoshow if show is None else show
    if save is not None:
        figure.savefig(save, dpi=_DPI, bbox_inches="tight")
    if show:
        plt.show()
    elif own and save is not None:
        plt.close(figure)  # as scanpy does; the axes live on
