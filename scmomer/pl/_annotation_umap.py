"""True and predicted labels on a UMAP, side by side in the same colors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from mudata import MuData

from scmomer._constants import KEYS
from scmomer.pl._figure import finish, panels
from scmomer.pl._labels import labels_in
from scmomer.tasks.annotation import UNKNOWN

_UNKNOWN_COLOR = "#bbbbbb"
_N_LEGEND_ROWS = 16


def annotation_umap(
    data: AnnData | MuData,
    true: str | None,
    predicted: str = "scmomer_label",
    *,
    use_rep: str = KEYS.OBSM,
    basis: str = "X_umap",
    continuous: Sequence[str] = (),
    random_state: int = 0,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> list[Axes] | Figure:
    """Plot true and predicted labels on a UMAP, side by side in the same colors.

    Parameters
    ----------
    data
        AnnData or MuData, annotated by :func:`scmomer.tl.annotate`. Not modified.
    true
        Column of obs with true labels, which may have missing values; None omits the panel.
    predicted
        Column of obs with predicted labels.
    use_rep
        Key in ``obsm`` to compute a UMAP from (scanpy, 15 neighbors) if `basis` does not exist.
    basis
        Key in ``obsm`` with cell coordinates; the first two columns are shown.
    continuous
        Numeric columns of obs to show in further panels, such as ``"scmomer_label_entropy"``.
    random_state
        Seed of the UMAP.
    ax
        Axes to draw into, one per panel; None creates a figure.
    save, show
        As in :func:`scmomer.pl.pseudobulk`.
    return_fig
        Return the figure instead of the axes.

    Returns
    -------
    list[Axes] | Figure
        Panels of true labels, predicted labels and each column of `continuous`.

    Raises
    ------
    KeyError
        If a column is absent, or there is neither `basis` nor `use_rep`.
    """
    columns = {
        title: labels_in(data, key)
        for title, key in (("true", true), ("predicted", predicted))
        if key is not None
    }
    numbers = {key: _numbers(data, key) for key in continuous}
    xy = _coordinates(data, basis, use_rep, random_state)
    colors = _colors(list(columns.values()))
    wide = 4.2 + (0.0 if ax is not None else 1.3)
    axes = panels(len(columns) + len(numbers), ax, (wide, 4.2), columns=3)
    named = list(columns.items())
    for number, (panel, (title, labels)) in enumerate(zip(axes, named, strict=False)):
        _draw_labels(panel, xy, labels, colors, legend=number == len(named) - 1)
        panel.set_title(f"{title} ({true if title == 'true' else predicted})")
    for panel, (key, values) in zip(axes[len(named) :], numbers.items(), strict=True):
        _draw_numbers(panel, xy, values)
        panel.set_title(key)
    finish(axes, ax is None, save, show)
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    return figure if return_fig else axes


def _numbers(data: AnnData | MuData, key: str) -> np.ndarray:
    if key not in data.obs:
        msg = f"Expected a column {key!r} of obs, found {list(data.obs.columns)}."
        raise KeyError(msg)
    return data.obs[key].to_numpy(float)


def _coordinates(data: AnnData | MuData, basis: str, use_rep: str, random_state: int) -> np.ndarray:
    """Return cell coordinates, ``(n_cells, 2)``; computed if they do not exist."""
    if basis in data.obsm:
        return np.asarray(data.obsm[basis])[:, :2]
    if use_rep not in data.obsm:
        msg = (
            f"Expected coordinates in obsm[{basis!r}] or an embedding in obsm[{use_rep!r}], found "
            f"{sorted(data.obsm)}. Run scmomer.tl.embed first."
        )
        raise KeyError(msg)
    cells = AnnData(np.asarray(data.obsm[use_rep]))
    sc.pp.neighbors(cells, use_rep="X", random_state=random_state)
    sc.tl.umap(cells, random_state=random_state)
    return cells.obsm["X_umap"]


def _colors(columns: list[pd.Series]) -> dict[str, str]:
    """Return a color for each label of any column, starting with the most frequent."""
    counts = pd.concat(columns).value_counts()
    names = [name for name in counts.index if name != UNKNOWN]
    palette = [to_hex(c) for name in ("tab20", "tab20b", "tab20c") for c in _shades(name)]
    colors = {name: palette[i % len(palette)] for i, name in enumerate(names)}
    return colors | ({UNKNOWN: _UNKNOWN_COLOR} if UNKNOWN in counts.index else {})


def _shades(name: str) -> list[tuple[float, float, float]]:
    """Return the colors of a map, strong ones first."""
    shades = list(mpl.colormaps[name].colors)  # type: ignore[attr-defined]
    shades = [s for s in shades if np.ptp(s) > 0]  # gray is used for unknown cells
    return shades[::2] + shades[1::2]


def _draw_labels(
    ax: Axes, xy: np.ndarray, labels: pd.Series, colors: dict[str, str], legend: bool
) -> None:
    size = _dot(len(xy))
    values = labels.to_numpy()
    missing = pd.isna(values)
    ax.scatter(xy[missing, 0], xy[missing, 1], s=size, c="#eeeeee", linewidths=0, rasterized=True)
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
    _format_axes(ax)
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


def _draw_numbers(ax: Axes, xy: np.ndarray, values: np.ndarray) -> None:
    order = np.argsort(values)  # high values on top
    # Limits the effect of a few extreme cells on the color scale.
    top = float(np.nanquantile(values, 0.99)) if len(values) else 1.0
    dots = ax.scatter(
        xy[order, 0],
        xy[order, 1],
        s=_dot(len(xy)),
        c=values[order],
        cmap="viridis",
        vmax=top,
        linewidths=0,
        rasterized=True,
    )
    _format_axes(ax)
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(dots, ax=ax, shrink=0.6)


def _dot(n_cells: int) -> float:
    """Return the dot area: scanpy's rule, clipped."""
    return float(np.clip(120_000 / max(n_cells, 1) / 4, 1, 25))


def _format_axes(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel("UMAP1")
    ax.set_ylabel("UMAP2")
