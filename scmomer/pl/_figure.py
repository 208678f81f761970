"""Create, save and show figures."""

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
    """Return the axes of `n` panels: the given ones, or those of a new figure.

    Parameters
    ----------
    n
        Number of panels.
    ax
        Axes to draw into, one per panel; None creates a figure.
    size
        Width and height of a panel in a new figure, in inches.
    columns
        Maximum number of panels per row.

    Raises
    ------
    ValueError
        If the number of axes is not `n`.
    """
    if ax is not None:
        axes = [ax] if isinstance(ax, Axes) else list(np.ravel(np.asarray(ax, dtype=object)))
        if len(axes) != n:
            msg = f"Expected {n} Axes in ax=, one per panel, found {len(axes)}."
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
    """Save and show the figure.

    Parameters
    ----------
    axes
        Axes of one figure.
    own
        Whether the figure was created here, not passed by the caller.
    save
        File to write to; the suffix sets the format.
    show
        Whether to show the figure. None follows :attr:`scanpy.settings.autoshow` if the figure was
        created here and is not saved.
    """
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    show = own and save is None and sc.settings.autoshow if show is None else show
    if save is not None:
        figure.savefig(save, dpi=_DPI, bbox_inches="tight")
    if show:
        plt.show()
    elif own and save is not None:
        plt.close(figure)  # as in scanpy; the axes remain usable
