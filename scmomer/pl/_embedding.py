"""UMAPs of several embeddings side by side, or of all in one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from scmomer._constants import KEYS, Modality
from scmomer.data import check_container, obs_column
from scmomer.pl._dots import (
    draw_labels,
    draw_numbers,
    draw_plain,
    label_colors,
    name_axes,
    umap_of,
)
from scmomer.pl._figure import finish, panels
from scmomer.pl._labels import labels_in

logger = logging.getLogger(__name__)
Cells: TypeAlias = AnnData | MuData
_ORIGINS = ("data", "basis")  # colors that are no columns of obs
_SIZE = (3.8, 3.8)  # inches of a panel
_LEGEND = 1.3  # inches beside the last panel of a row


class _Map(NamedTuple):
    """Cells of one UMAP: all data sets, and several bases if these are shown together."""

    title: str
    axis: str
    xy: np.ndarray  # (n_dots, 2)
    rows: list[tuple[str, str, np.ndarray]]  # data set, basis, cells shown


def embedding(
    data: Cells | Mapping[str, Cells],
    basis: str | Sequence[str] | None = None,
    color: str | Sequence[str] | None = None,
    *,
    joint: bool = False,
    n_neighbors: int = 15,
    random_state: int = 0,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> list[Axes] | Figure:
    """Plot UMAPs of several embeddings side by side, of all in one, or of several data sets.

    Adds to :func:`scanpy.pl.embedding` that embeddings in ``obsm`` need no UMAP, that they are
    compared in the same colors, and that those of RNA and ATAC, or of measured and translated
    cells, may share one UMAP.

    Parameters
    ----------
    data
        AnnData or MuData with embeddings in ``obsm``, as written by :func:`scmomer.tl.embed`, or
        several by name, such as ``{"measured": atac, "translated": translated}``: their cells share
        every UMAP. Not modified.
    basis
        Keys in ``obsm``, with or without ``X_``. A UMAP of each is computed (scanpy), except for
        those of two columns, such as ``"umap"``, which are shown as they are. None: the embeddings
        of single modalities, then the fused one, of :func:`scmomer.tl.embed`.
    color
        Columns of obs, numeric or not; of a MuData, also those of its modalities. ``"basis"`` is
        the embedding that a dot comes from, and ``"data"`` the data set, unless obs has such a
        column. None: what distinguishes the dots of a UMAP, else one color.
    joint
        Show all bases in one UMAP, each cell once for each basis. They need the same number of
        columns.
    n_neighbors
        Neighbors of a cell in the UMAP.
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
        Panels, row by row: a row for each color and a column for each UMAP. With a single UMAP,
        colors are side by side.

    Raises
    ------
    KeyError
        If no data set has a column, or one lacks a basis.
    ValueError
        If embeddings of one UMAP differ in their number of columns, or have no cell without NaN.

    Notes
    -----
    Cells whose embedding is NaN (no bridge predicts it) are left out and counted in the log.
    Colors of labels are those in ``uns[color + "_colors"]`` if scanpy has written them there.
    Dots near each other in a UMAP are neighbors; distances between groups have little meaning.

    Examples
    --------
    RNA, ATAC inferred from it and the fused embedding of cells with RNA alone:

    >>> scmomer.tl.embed(query, model)
    >>> scmomer.pl.embedding(query, color="cell_type")

    Both modalities in one UMAP:

    >>> both = ["X_scmomer_rna", "X_scmomer_atac"]
    >>> scmomer.pl.embedding(query, both, ["basis", "cell_type"], joint=True)

    ATAC inferred from RNA beside measured ATAC, of the same or other cells:

    >>> scmomer.tl.embed(atac, model)
    >>> sets = {"measured": atac, "inferred": query}
    >>> scmomer.pl.embedding(sets, "X_scmomer_atac", ["data", "cell_type"])
    """
    sets = dict(data) if isinstance(data, Mapping) else {"": data}
    _check_sets(sets)
    keys = _bases(sets, basis)
    chosen = _colors(sets, keys, color, joint)
    groups = [keys] if joint else [[key] for key in keys]
    maps = [_map(sets, group, n_neighbors, random_state) for group in groups]
    columns = len(maps) if len(maps) > 1 else min(len(chosen), 3)
    wide = _SIZE[0] + (_LEGEND / columns if len(maps) > 1 else _LEGEND)
    axes = panels(len(maps) * len(chosen), ax, (wide, _SIZE[1]), columns)
    for row, name in enumerate(chosen):
        _draw_row(axes[row * len(maps) : (row + 1) * len(maps)], maps, sets, name)
    finish(axes, ax is None, save, show)
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    return figure if return_fig else axes


# -- what is shown


def _check_sets(sets: Mapping[str, Cells]) -> None:
    if not sets:
        msg = "Expected data sets by name, found none. Pass an AnnData, a MuData or a dict of them."
        raise ValueError(msg)
    for cells in sets.values():
        check_container(cells)


def _bases(sets: Mapping[str, Cells], basis: str | Sequence[str] | None) -> list[str]:
    """Return keys that all data sets have in obsm."""
    shared = [k for k in next(iter(sets.values())).obsm if all(k in s.obsm for s in sets.values())]
    if basis is None:
        usual = [*(f"{KEYS.OBSM}_{m}" for m in get_args(Modality)), KEYS.OBSM]
        if wanted := [k for k in usual if k in shared]:
            return wanted
        wanted = [KEYS.OBSM]
    else:
        wanted = [basis] if isinstance(basis, str) else list(basis)
    found = [k if k in shared else f"X_{k}" for k in wanted]
    if missing := [k for k, key in zip(wanted, found, strict=True) if key not in shared]:
        whose = "obsm" if len(sets) == 1 else "obsm of all data sets"
        msg = (
            f"Expected {missing} in {whose}, found {shared}. Run scmomer.tl.embed first, or pass "
            "one of these as basis=."
        )
        raise KeyError(msg)
    if not found:
        msg = f"Expected at least one basis, found none. Pass keys among {shared}."
        raise ValueError(msg)
    return found


def _colors(
    sets: Mapping[str, Cells], keys: list[str], color: str | Sequence[str] | None, joint: bool
) -> list[str | None]:
    """Return the color of each row of panels; None is a single color."""
    if color is not None:
        return [color] if isinstance(color, str) else list(color) or [None]
    several = {"data": len(sets) > 1, "basis": joint and len(keys) > 1}
    return [*(name for name in _ORIGINS if several[name])] or [None]


def _map(sets: Mapping[str, Cells], keys: list[str], n_neighbors: int, random_state: int) -> _Map:
    """Return the UMAP of some bases of all data sets."""
    rows, parts = [], []
    for name, cells in sets.items():
        for key in keys:
            values = np.asarray(cells.obsm[key], np.float32)
            values = values.reshape(len(values), -1)
            finite = np.isfinite(values).all(1)
            if not finite.all():
                where = f"{key!r} of {name!r}" if name else repr(key)
                logger.info("%d of %d cells have no %s.", (~finite).sum(), len(values), where)
            rows.append((name, key, np.flatnonzero(finite)))
            parts.append(values[finite])
    widths = {f"{n}: {k}" if n else k: p.shape[1] for (n, k, _), p in zip(rows, parts, strict=True)}
    if len(set(widths.values())) > 1:
        msg = (
            f"Expected embeddings of the same number of columns in one UMAP, found {widths}. Pass "
            "joint=False or other keys as basis=."
        )
        raise ValueError(msg)
    values = np.concatenate(parts)
    if len(values) <= 2:
        msg = (
            f"Expected at least 3 cells without NaN in {keys}, found {len(values)}. Pass other "
            "keys as basis=."
        )
        raise ValueError(msg)
    title = " and ".join(keys)
    if values.shape[1] <= 2:
        return _Map(title, keys[0].removeprefix("X_"), values[:, [0, -1]], rows)
    neighbors = min(n_neighbors, len(values) - 1)
    return _Map(title, "UMAP", umap_of(values, random_state, neighbors), rows)


# -- drawing


def _draw_row(
    axes: Sequence[Axes], maps: list[_Map], sets: Mapping[str, Cells], name: str | None
) -> None:
    """Draw all UMAPs in the colors of one column."""
    columns = [_column(sets, one, name) for one in maps]
    colors: dict[str, str] = {}
    if name is not None and not _numeric(columns[0]):
        colors = _known_colors(sets, name, columns) or label_colors(columns)
    for number, (panel, one, column) in enumerate(zip(axes, maps, columns, strict=True)):
        last = number == len(maps) - 1
        if name is None:
            draw_plain(panel, one.xy)
        elif colors:
            draw_labels(panel, one.xy, column, colors, legend=last)
        else:
            draw_numbers(panel, one.xy, column.to_numpy(float), bar=last)
        panel.set_title(one.title if len(maps) > 1 or name is None else name)
        name_axes(panel, one.axis)
    if len(maps) > 1 and name is not None:
        axes[0].set_ylabel(f"{name}\n\n{axes[0].get_ylabel()}")


def _column(sets: Mapping[str, Cells], one: _Map, name: str | None) -> pd.Series:
    """Return the value of each dot, ``(n_dots,)``; NaN or None for data sets without the column."""
    if name is None:
        return pd.Series(dtype=object)
    found: dict[str, pd.Series] = {}
    errors = []
    for key, cells in sets.items():
        try:
            found[key] = obs_column(cells, name)
        except KeyError as error:
            errors.append(error)
    if found:
        numeric = all(_numeric(column) for column in found.values())
        parts = []
        for key, _, rows in one.rows:
            if key not in found:
                parts.append(pd.Series(np.full(len(rows), np.nan if numeric else None)))
            elif numeric:
                parts.append(found[key].iloc[rows].astype(float))
            else:
                parts.append(labels_in(sets[key], name).iloc[rows])
        return pd.concat(parts, ignore_index=True)
    if name not in _ORIGINS:
        raise errors[0]
    which = _ORIGINS.index(name)
    return pd.Series([row[which] for row in one.rows for _ in row[2]], dtype=object)


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _known_colors(
    sets: Mapping[str, Cells], name: str, columns: list[pd.Series]
) -> dict[str, str] | None:
    """Return the colors that scanpy has written for a column, if they cover all of its labels."""
    known: dict[str, str] = {}
    for cells in sets.values():
        colors = cells.uns.get(f"{name}_colors")
        if colors is None or name not in cells.obs:
            continue
        names = cells.obs[name].astype("category").cat.categories.map(str)
        if len(colors) >= len(names):
            known = {**dict(zip(names, map(str, colors), strict=False)), **known}
    labels = pd.concat(columns).dropna().unique()
    return {k: known[k] for k in known if k in labels} if set(labels) <= set(known) else None
