"""Translated against measured pseudobulk accessibility."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from scmomer._deprecated import renamed_arguments
from scmomer.pl._figure import finish, panels
from scmomer.pl._pair import check_groups, match_data

_MAX_DOTS = 2000  # more peaks are drawn as hexagons


@renamed_arguments(centred="centered")
def pseudobulk(
    truth: AnnData | MuData,
    translated: AnnData | MuData,
    groupby: str,
    *,
    centered: bool = True,
    groups: Sequence[str] | None = None,
    layer: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
) -> list[Axes]:
    """Plot mean translated against mean measured accessibility of each peak, by group.

    As in Fig. 2f of the paper, where profiles are not centered: without centering, a translation
    that is the same for all cells also correlates. :func:`scmomer.metrics.pseudobulk_pearson` is
    the mean over groups of the correlations in the titles.

    Parameters
    ----------
    truth
        Measured counts of peaks: AnnData, or MuData with ``atac``. A peak is open where its count
        is above 0.
    translated
        Translation of the same cells: AnnData of :func:`scmomer.tl.translate_atac`, or data with
        ``layers["scmomer"]``, such as `truth`. Cells and peaks are matched by name.
    groupby
        Column of obs of `truth` with the group of each cell.
    centered
        Subtract the mean profile of all cells with a group from each profile.
    groups
        Groups to show, one per panel; None for all.
    layer
        Layer of `truth` with the counts; None for ``X``.
    ax
        Axes to draw into, one per group; None creates a figure.
    save
        File to write the figure to.
    show
        Whether to show the figure; None follows :attr:`scanpy.settings.autoshow`, unless the figure
        is saved or `ax` is given.

    Returns
    -------
    list[Axes]
        One per group, titled with Pearson's r across peaks; 0 if a profile is constant.

    Raises
    ------
    KeyError
        If the column, layer or modality is absent.
    ValueError
        If no cell or peak is in both data sets, values are not accessibility, or a group is
        unknown.
    """
    pair = match_data(truth, translated, groupby, layer)
    chosen = check_groups(pair.labels, groups)
    bulks = pair.bulks()
    x, y = (b.means - b.overall if centered else b.means for b in bulks)  # (n_groups, n_peaks)
    axes = panels(len(chosen), ax, (3.2, 3.2))
    suffix = ", group minus all" if centered else ""
    for panel, group in zip(axes, chosen, strict=True):
        row = bulks[0].groups.index(group)
        _draw(panel, x[row], y[row])
        panel.set_title(f"{group}, r = {_pearson(x[row], y[row]):.2f}")
        panel.set_xlabel(f"measured{suffix}")
        panel.set_ylabel(f"translated{suffix}")
    finish(axes, ax is None, save, show)
    return axes


def _draw(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw dots, or hexagons colored by the log of their number of peaks, and the diagonal."""
    if x.size > _MAX_DOTS:
        ax.hexbin(x, y, gridsize=50, bins="log", cmap="viridis", linewidths=0.2, mincnt=1)
    else:
        ax.scatter(x, y, s=8, linewidths=0, alpha=0.6)
    ax.axline((0, 0), slope=1, color="gray", linewidth=0.8, linestyle="--")


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    norm = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / norm) if norm > 0 else 0.0
