"""Pseudobulk accessibility, measured against translated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData
from numpy.typing import NDArray

from scmomer.pl._figure import finish, panels
from scmomer.pl._pair import check_groups, paired

_MAX_DOTS = 2000  # peaks; more are drawn as hexagons


def pseudobulk(
    truth: AnnData | MuData,
    translated: AnnData | MuData,
    groupby: str,
    *,
    centred: bool = True,
    groups: Sequence[str] | None = None,
    layer: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
) -> list[Axes]:
    """Plot mean translated against mean measured accessibility, of each peak in each group.

    As Fig. 2f of the paper, whose profiles are not centred: there a translation that is the same
    for all cells correlates too. :func:`scmomer.metrics.pseudobulk_pearson` is the mean of the
    correlations in the titles over all groups.

    Parameters
    ----------
    truth
        Measured counts of peaks: AnnData, or MuData with ``atac``. A peak is open where they are
        above 0.
    translated
        Translation of the same cells: AnnData of :func:`scmomer.tl.translate_atac`, or data with
        ``layers["scmomer"]``; may be `truth` itself. Cells and peaks are matched by name.
    groupby
        Column of obs in `truth` with the group of each cell.
    centred
        Whether to subtract from each profile that of all cells that have a group.
    groups
        Groups to show, one panel each; None for all.
    layer
        Layer of `truth` that holds the counts; None for ``X``.
    ax
        Axes to draw into, one for each group; None makes a figure.
    save
        File to write the picture to.
    show
        Whether to show the picture; None as :attr:`scanpy.settings.autoshow` says, unless it is
        saved or `ax` is given.

    Returns
    -------
    list[Axes]
        One for each group, titled with Pearson's r across peaks; 0 where a profile is constant.

    Raises
    ------
    KeyError
        If the column, layer or modality is absent.
    ValueError
        If no cell or peak is in both data, values are not accessibility, or a group is unknown.
    """
    pair = paired(truth, translated, groupby, layer)
    chosen = check_groups(pair.labels, groups)
    bulks = pair.bulks()
    x, y = (b.means - b.overall if centred else b.means for b in bulks)  # (n_groups, n_peaks)
    axes = panels(len(chosen), ax, (3.2, 3.2))
    suffix = ", group minus all" if centred else ""
    for panel, group in zip(axes, chosen, strict=True):
        row = bulks[0].groups.index(group)
        _draw(panel, x[row], y[row])
        panel.set_title(f"{group}, r = {_pearson(x[row], y[row]):.2f}")
        panel.set_xlabel(f"measured{suffix}")
        panel.set_ylabel(f"translated{suffix}")
    finish(axes, ax is None, save, show)
    return axes


def _draw(ax: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Dots, or hexagons shaded by the logarithm of their number of peaks, and the identity."""
    if x.size > _MAX_DOTS:
        ax.hexbin(x, y, gridsize=50, bins="log", cmap="viridis", linewidths=0.2, mincnt=1)
    else:
        ax.scatter(x, y, s=8, linewidths=0, alpha=0.6)
    ax.axline((0, 0), slope=1, color="grey", linewidth=0.8, linestyle="--")


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    x, y = x - x.mean(), y - y.mean()
    norm = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / norm) if norm > 0 else 0.0
