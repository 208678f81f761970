"""True and predicted labels on a UMAP, side by side in the same colors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from scmomer._constants import KEYS
from scmomer.pl._dots import draw_labels, draw_numbers, label_colors, name_axes, umap_of
from scmomer.pl._figure import finish, panels
from scmomer.pl._labels import labels_in


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
    colors = label_colors(columns.values())
    wide = 4.2 + (0.0 if ax is not None else 1.3)
    axes = panels(len(columns) + len(numbers), ax, (wide, 4.2), columns=3)
    named = list(columns.items())
    for number, (panel, (title, labels)) in enumerate(zip(axes, named, strict=False)):
        draw_labels(panel, xy, labels, colors, legend=number == len(named) - 1)
        panel.set_title(f"{title} ({true if title == 'true' else predicted})")
    for panel, (key, values) in zip(axes[len(named) :], numbers.items(), strict=True):
        draw_numbers(panel, xy, values)
        panel.set_title(key)
    for panel in axes:
        name_axes(panel)
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
    return umap_of(data.obsm[use_rep], random_state)
