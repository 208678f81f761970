"""Links between peaks and genes as arcs along the genome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from mudata import MuData

from scmomer._constants import LINKS_KEY
from scmomer.data import check_container, examples
from scmomer.pl._figure import finish, panels

_NEEDED = ["peak", "gene", "group", "chrom", "start", "end", "tss", "strand", "score", "padj"]
_COLORS = {1: "#b2182b", -1: "#2166ac"}  # red and blue of the map RdBu_r
_LINE_WIDTH = (0.4, 3.0)  # of scores from 0 to the largest one shown
_FAINT = 0.3  # opacity of links that are not significant
_HEIGHT = 0.09  # of a peak, relative to the highest arc
_ARROW = 0.022  # length of a gene's arrow, relative to the panel
_MARGIN = 0.04  # of the panel on each side
_MIN_PEAK = 0.003  # width of a peak that is still visible, relative to the panel


def peak_gene_links(
    data: AnnData | MuData | pd.DataFrame,
    gene: str | Sequence[str],
    *,
    key: str = LINKS_KEY,
    groups: Sequence[str] | None = None,
    max_padj: float = 0.05,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
) -> list[Axes]:
    """Draw the links of a gene as arcs from its peaks to its transcription start.

    Arcs above the line are positive links (red), those below negative ones (blue); they are the
    wider, the higher the score. Peaks are boxes on the line, in gray without a significant link;
    arrows are transcription starts of genes: of this one in black, of others in gray.

    Parameters
    ----------
    data
        Container with the result of :func:`scmomer.tl.peak_gene_links`, or its table.
    gene
        Name of a gene, or several.
    key
        Key of the table in ``uns``.
    groups
        Groups of cells to show; None for all that have links of the gene.
    max_padj
        Links with a higher adjusted p-value are faint.
    ax, save, show
        As in :func:`scmomer.pl.pseudobulk`; one Axes for each gene and group.

    Returns
    -------
    list[Axes]
        One for each gene and, within it, each group.

    Raises
    ------
    KeyError
        If there is no such table, gene or group, or the table lacks a column.
    TypeError
        If `data` is neither a container nor a table.
    ValueError
        If no gene or no group is given.

    Examples
    --------
    >>> scmomer.tl.peak_gene_links(mdata, model, groupby="cell_type")
    >>> scmomer.pl.peak_gene_links(mdata, "Gad1", groups=["Pvalb", "Oligo"])
    """
    links = _table(data, key)
    genes = [gene] if isinstance(gene, str) else [] if gene is None else list(gene)
    if not genes or (groups is not None and not len(groups)):
        msg = (
            f"Expected genes and groups to show, found gene={gene!r} and groups={groups!r}. Pass "
            "at least one, or None for all groups."
        )
        raise ValueError(msg)
    shown = {
        (name, group): rows
        for name in genes
        for group, rows in _by_group(links, name, groups).items()
    }
    axes = panels(len(shown), ax, (8.0, 2.6), columns=1)
    widest = max(rows["score"].abs().max() for rows in shown.values()) or 1.0
    several = len({group for _, group in shown}) > 1 or next(iter(shown))[1] != "all"
    for panel, ((name, group), rows) in zip(axes, shown.items(), strict=True):
        _draw(panel, rows, links, name, widest, max_padj)
        if several:
            panel.set_title(group, loc="left", fontsize="medium")
    _legend(axes[0], max_padj)
    finish(axes, ax is None, save, show)
    return axes


def _table(data: AnnData | MuData | pd.DataFrame, key: str) -> pd.DataFrame:
    if not isinstance(data, pd.DataFrame):
        check_container(data)
    if isinstance(data, pd.DataFrame):
        links = data
    elif key in data.uns:
        links = data.uns[key]
    else:
        msg = (
            f"Expected links in uns[{key!r}], found {sorted(data.uns)}. Run "
            "scmomer.tl.peak_gene_links first, or pass its key_added as key=."
        )
        raise KeyError(msg)
    if absent := [column for column in _NEEDED if column not in links]:
        msg = (
            f"Expected a table of links with columns {_NEEDED}, found one without {absent}. Pass "
            "rows of a table of scmomer.tl.peak_gene_links."
        )
        raise KeyError(msg)
    return links


def _by_group(
    links: pd.DataFrame, gene: str, groups: Sequence[str] | None
) -> dict[str, pd.DataFrame]:
    """Return the links of a gene in each group, in the order of the table."""
    rows = links[links["gene"] == gene]
    if rows.empty:
        msg = (
            f"Expected a gene with links, such as {examples(pd.unique(links['gene']))}, found "
            f"{gene!r}. Pass a gene of the table, or compute its links: it needs coordinates, "
            "peaks nearby and enough cells."
        )
        raise KeyError(msg)
    found = {str(group): part for group, part in rows.groupby("group", sort=False, observed=True)}
    if groups is None:
        return found
    if isinstance(groups, str) or set(groups) - set(found):
        msg = (
            f"Expected a list of groups with links of {gene!r}, among {list(found)}, found "
            f"{groups!r}. Pass some of them."
        )
        raise KeyError(msg)
    return {group: found[group] for group in groups}


def _draw(
    ax: Axes, rows: pd.DataFrame, links: pd.DataFrame, gene: str, widest: float, max_padj: float
) -> None:
    chrom, tss = rows["chrom"].iloc[0], rows["tss"].to_numpy()
    low = min(rows["start"].min(), tss.min())
    high = max(rows["end"].max(), tss.max())
    span = max(high - low, 1)
    ax.set_xlim(low - _MARGIN * span, high + _MARGIN * span)
    significant = (rows["padj"] <= max_padj).to_numpy()
    heights = _arcs(ax, rows, significant, widest)
    unit = max(*heights, 0.25)
    _peaks(ax, rows, significant, unit, span)
    near = links[(links["chrom"] == chrom) & links["tss"].between(low, high)]
    near = near.drop_duplicates(["gene", "tss"])
    for other in near[near["gene"] != gene].itertuples():
        _arrow(ax, other.tss, other.strand, None, unit, span)
    for own in rows.drop_duplicates("tss").itertuples():
        _arrow(ax, own.tss, own.strand, gene, unit, span)
    below = max(heights[1], _HEIGHT * unit)
    ax.set_ylim(-1.12 * below, 1.25 * max(heights[0], 0.45 * unit))
    ax.set_yticks([])
    ax.spines[["left", "right", "top"]].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1e6:,.2f}"))
    ax.set_xlabel(f"{chrom} (Mb)")


def _arcs(
    ax: Axes, rows: pd.DataFrame, significant: np.ndarray, widest: float
) -> tuple[float, float]:
    """Draw half ellipses, strong ones in front; return the height above and below the line."""
    center = ((rows["start"] + rows["end"]) / 2).to_numpy()
    tss, score = rows["tss"].to_numpy(), rows["score"].to_numpy()
    reach = np.abs(center - tss)
    # A root keeps arcs of near peaks visible beside those of far ones.
    height = np.sqrt(reach / max(reach.max(), 1)) * np.where(score < 0, -1, 1)
    turn = np.linspace(0, np.pi, 60)
    x = center[:, None] + (tss - center)[:, None] * (1 - np.cos(turn)) / 2
    y = height[:, None] * np.sin(turn)
    order = np.lexsort((np.abs(score), significant))
    share = np.abs(score) / widest
    width = _LINE_WIDTH[0] + (_LINE_WIDTH[1] - _LINE_WIDTH[0]) * share
    colors = [_COLORS[-1 if value < 0 else 1] for value in score[order]]
    ax.add_collection(
        LineCollection(
            list(np.stack([x, y], 2)[order]),
            colors=colors,
            linewidths=width[order],
            alpha=np.where(significant, 0.9, _FAINT)[order],
            zorder=2,
            capstyle="round",
        )
    )
    return float(height.max(initial=0)), float(-height.min(initial=0))


def _peaks(ax: Axes, rows: pd.DataFrame, significant: np.ndarray, unit: float, span: float) -> None:
    """Draw peaks as boxes on the line."""
    ax.axhline(0, color="black", linewidth=0.8, zorder=1)
    middle = ((rows["start"] + rows["end"]) / 2).to_numpy()
    half = np.maximum((rows["end"] - rows["start"]).to_numpy(), _MIN_PEAK * span) / 2
    top = np.full(len(rows), _HEIGHT * unit / 2)
    corners = [(-half, -top), (half, -top), (half, top), (-half, top)]
    boxes = np.stack([np.stack([middle + dx, dy], 1) for dx, dy in corners], 1)
    color = [
        _COLORS[-1 if score < 0 else 1] if strong else "0.65"
        for score, strong in zip(rows["score"], significant, strict=True)
    ]
    ax.add_collection(PolyCollection(list(boxes), facecolors=color, edgecolors="none", zorder=3))


def _arrow(ax: Axes, tss: int, strand: str, name: str | None, unit: float, span: float) -> None:
    """Draw a transcription start: a stem and an arrow along the strand, with the gene's name."""
    color, top = ("black", 0.3 * unit) if name else ("0.7", 0.18 * unit)
    way = {"+": 1, "-": -1}.get(strand, 0)
    ax.plot([tss, tss], [0, top], color=color, linewidth=1.3, zorder=4, solid_capstyle="butt")
    tip = tss + way * _ARROW * span
    if way:
        ax.annotate(
            "",
            xy=(tip, top),
            xytext=(tss, top),
            arrowprops={"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0},
            zorder=4,
        )
    if name:  # high up, between the arcs of both sides
        ax.text(tss, 0.95 * unit, name, ha="center", va="center", fontweight="bold", zorder=5)


def _legend(ax: Axes, max_padj: float) -> None:
    handles = [
        Line2D([], [], color=_COLORS[1], linewidth=2, label="positive"),
        Line2D([], [], color=_COLORS[-1], linewidth=2, label="negative"),
        Line2D([], [], color="0.3", linewidth=2, alpha=_FAINT, label=f"adjusted p > {max_padj:g}"),
    ]
    ax.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=3,
        frameon=False,
        fontsize="small",
        borderaxespad=0.2,
    )
