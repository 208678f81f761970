"""Cells as dots: their UMAP, colors of labels, and panels by label or by number."""

from __future__ import annotations

from collections.abc import Iterable

import matplotlib as mpl
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from scmomer.tasks.annotation import UNKNOWN

_UNKNOWN_COLOR = "#bbbbbb"
_MISSING_COLOR = "#eeeeee"
_N_LEGEND_ROWS = 16


def umap_of(values: np.ndarray, random_state: int, n_neighbors: int = 15) -> np.ndarray:
    """Return the UMAP of an embedding, ``(n_cells, 2)``."""
    cells = AnnData(np.asarray(values))
    sc.pp.neighbors(cells, n_neighbors, use_rep="X", random_state=random_state)
    sc.tl.umap(cells, random_state=random_state)
    return cells.obsm["X_umap"]


def label_colors(columns: Iterable[pd.Series]) -> dict[str, str]:
    """Return a color for each label of any column, starting with the most frequent."""
    counts = pd.concat(list(columns)).value_counts()
    names = [name for name in counts.index if name != UNKNOWN]
    palette = [to_hex(c) for name in ("tab20", "tab20b", "tab20c") for c in _shades(name)]
    colors = {name: palette[i % len(palette)] for i, name in enumerate(names)}
    return colors | ({UNKNOWN: _UNKNOWN_COLOR} if UNKNOWN in counts.index else {})


def _shades(name: str) -> list[tuple[float, float, float]]:
    """Return the colors of a map, strong ones first."""
    shades = list(mpl.colormaps[name].colors)  # type: ignore[attr-defined]
    shades = [s for s in shades if np.ptp(s) > 0]  # gray is used for unknown cells
    return shades[::2] + shades[1::2]


def draw_labels(
    ax: Axes, xy: np.ndarray, labels: pd.Series, colors: dict[str, str], legend: bool
) -> None:
    """Draw cells in the colors of their labels; those without a label are pale, below."""
    size = _dot(len(xy))
    values = labels.to_numpy()
    missing = pd.isna(values)
    ax.scatter(
        xy[missing, 0], xy[missing, 1], s=size, c=_MISSING_COLOR, linewidths=0, rasterized=True
    )
    # One call in random order, so that no type covers another.
    order = np.random.default_rng(0).permutation(np.flatnonzero(~missing))
    ax.scatter(
        xy[order, 0],
        xy[order, 1],
        s=size,
        c=[colors[v] for v in values[order]],
        linewidths=0,
        rasterized=True,
    )
    if not legend:
        return
    for name, color in colors.items():
        ax.scatter([], [], s=25, c=color, label=name)
    ax.legend(
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        ncols=-(-len(colors) // _N_LEGEND_ROWS),
        fontsize="small",
        frameon=False,
        handletextpad=0.2,
    )


def draw_numbers(ax: Axes, xy: np.ndarray, values: np.ndarray, bar: bool = True) -> None:
    """Draw cells in the colors of numbers; cells without one are pale, below."""
    missing, size = np.isnan(values), _dot(len(xy))
    if missing.any():
        ax.scatter(
            xy[missing, 0], xy[missing, 1], s=size, c=_MISSING_COLOR, linewidths=0, rasterized=True
        )
    order = np.argsort(values)[: int((~missing).sum())]  # high values on top
    # Limits the effect of a few extreme cells on the color scale.
    top = float(np.quantile(values[order], 0.99)) if len(order) else 1.0
    dots = ax.scatter(
        xy[order, 0],
        xy[order, 1],
        s=size,
        c=values[order],
        cmap="viridis",
        vmax=top,
        linewidths=0,
        rasterized=True,
    )
    figure = ax.get_figure()
    assert figure is not None
    if bar:
        figure.colorbar(dots, ax=ax, shrink=0.6)


def draw_plain(ax: Axes, xy: np.ndarray) -> None:
    """Draw cells in one color."""
    ax.scatter(xy[:, 0], xy[:, 1], s=_dot(len(xy)), c=_UNKNOWN_COLOR, linewidths=0, rasterized=True)


def name_axes(ax: Axes, name: str = "UMAP") -> None:
    """Name the two axes; their scale has no meaning."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(f"{name}1")
    ax.set_ylabel(f"{name}2")


def _dot(n_cells: int) -> float:
    """Return the dot area: scanpy's rule, clipped."""
    return float(np.clip(120_000 / max(n_cells, 1) / 4, 1, 25))
