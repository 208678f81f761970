"""Accessibility of top differential peaks, as a matrix of groups x peaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from scmomer._deprecated import renamed_arguments
from scmomer.data import Pseudobulk, get_groups, get_peaks, get_values, peaks_name, pseudobulk
from scmomer.pl._figure import finish, panels
from scmomer.pl._pair import match_data

_MAX_NAMED_PEAKS = 40  # with more peaks, only groups are named


@renamed_arguments(centred="centered")
def rank_peaks(
    data: AnnData | MuData,
    translated: AnnData | MuData | None = None,
    *,
    key: str = "rank_peaks",
    n_peaks: int = 10,
    groups: Sequence[str] | None = None,
    centered: bool = True,
    layer: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
) -> list[Axes]:
    """Plot mean accessibility by group of the top peaks of :func:`scmomer.tl.rank_peaks`.

    As in Fig. 2i of the paper. Each panel has its own color scale.

    Parameters
    ----------
    data
        AnnData or MuData with ranked peaks.
    translated
        Translation of the same cells, as in :func:`scmomer.pl.pseudobulk`, to show beside
        `data`. Only peaks in both are shown.
    key
        Key of the ranking in ``uns``.
    n_peaks
        Number of top peaks of each group; peaks with scores of 0 or less are left out.
    groups
        Groups whose peaks are shown; None for all ranked groups. Rows always show all groups.
    centered
        Subtract from the rates of each peak their mean over groups.
    layer
        Layer of `data` to show. None for the ranked layer or, with `translated`, ``X``.
    ax, save, show
        As in :func:`scmomer.pl.pseudobulk`; one Axes for `data` and one for `translated`.

    Returns
    -------
    list[Axes]
        One, or two with `translated`; rows are groups, columns peaks.

    Raises
    ------
    KeyError
        If the ranking does not exist.
    ValueError
        If a group was not ranked, or there is no peak to show.
    """
    ranking = _ranking(get_peaks(data), key)
    groupby = ranking["params"]["groupby"]
    if translated is None:
        matrix, place = get_values(get_peaks(data), layer or ranking["params"]["layer"])
        bulks = {
            "mean accessibility": pseudobulk(
                matrix, get_groups(data, groupby), place, peaks_name(data)
            )
        }
        names = get_peaks(data).var_names
    else:
        pair = match_data(data, translated, groupby, layer)
        bulks = dict(zip(("measured", "translated"), pair.bulks(), strict=True))
        names = pair.peaks
    top = _top(ranking, names, groups, n_peaks)
    n_columns, n_rows = sum(map(len, top.values())), len(next(iter(bulks.values())).groups)
    # Named peaks need space for their text.
    width = 0.16 * n_columns if n_columns <= _MAX_NAMED_PEAKS else min(0.05 * n_columns, 8)
    size = (2.5 + width, max(1.8 + 0.2 * n_rows, 3.2))
    axes = panels(len(bulks), ax, size)
    for panel, (title, bulk) in zip(axes, bulks.items(), strict=True):
        _draw(panel, bulk, names, top, centered)
        panel.set_title(title)
    finish(axes, ax is None, save, show)
    return axes


def _ranking(adata: AnnData, key: str) -> dict:
    if key not in adata.uns or "names" not in adata.uns[key]:
        msg = (
            f"Expected a ranking of peaks in uns[{key!r}], found {sorted(adata.uns)}. "
            "Run scmomer.tl.rank_peaks first, or pass its key_added as key=."
        )
        raise KeyError(msg)
    return adata.uns[key]


def _top(
    ranking: dict, names: pd.Index, groups: Sequence[str] | None, n_peaks: int
) -> dict[str, np.ndarray]:
    """Return the top peaks of each group that has any, as positions in `names`."""
    ranked = list(ranking["names"].dtype.names)
    chosen = ranked if groups is None else [str(g) for g in groups]
    if isinstance(groups, str) or set(chosen) - set(ranked):
        msg = f"Expected a list of ranked groups, among {ranked}, found {groups!r}."
        raise ValueError(msg)
    top = {}
    for group in chosen:
        column = names.get_indexer(ranking["names"][group])
        kept = column[(column >= 0) & (ranking["scores"][group] > 0)][:n_peaks]
        if kept.size:
            top[group] = kept
    if not top:
        msg = (
            f"No peak to show is more accessible in any of {chosen}. Pass other groups in groups=, "
            "or a translation of these peaks."
        )
        raise ValueError(msg)
    return top


def _draw(
    ax: Axes, bulk: Pseudobulk, names: pd.Index, top: dict[str, np.ndarray], centered: bool
) -> None:
    columns = np.concatenate(list(top.values()))
    values = bulk.means[:, columns]  # (n_groups, n_columns)
    if centered:
        values = values - values.mean(axis=0)
        # Limits the effect of single peaks that are open in all cells of a group.
        limit = np.quantile(np.abs(values), 0.99) or 1.0
        colors, lowest, highest = "RdBu_r", -limit, limit
    else:
        colors, lowest, highest = "Reds", 0.0, values.max()
    image = ax.imshow(
        values, aspect="auto", interpolation="nearest", cmap=colors, vmin=lowest, vmax=highest
    )
    ax.set_yticks(range(len(bulk.groups)), bulk.groups)
    ends = np.cumsum([kept.size for kept in top.values()])
    for end in ends[:-1]:
        ax.axvline(end - 0.5, color="black", linewidth=0.5)
    if columns.size <= _MAX_NAMED_PEAKS:
        ax.set_xticks(range(columns.size), names[columns], rotation=90, fontsize="small")
    else:
        starts = np.r_[0, ends[:-1]]
        ax.set_xticks((starts + ends - 1) / 2, list(top), rotation=90)
        ax.set_xlabel("peaks, by ranked group")
    label = "rate, minus mean of groups" if centered else "mean accessibility"
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(image, ax=ax, label=label)
