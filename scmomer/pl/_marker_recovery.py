"""Recovery of measured marker peaks by the translation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from scmomer import metrics
from scmomer.data import Values
from scmomer.pl._figure import finish, panels
from scmomer.pl._pair import MatchedData, check_groups, match_data
from scmomer.tl import rank_peaks


def marker_recovery(
    truth: AnnData | MuData,
    translated: AnnData | MuData,
    groupby: str,
    *,
    ks: Sequence[int] = (10, 50, 100, 500),
    groups: Sequence[str] | None = None,
    layer: str | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
) -> Axes:
    r"""Plot the precision of the top differential peaks of the translation, by group.

    Peaks are ranked by :func:`scmomer.tl.rank_peaks` in both data sets. With :math:`T_k` and
    :math:`M_k` the first :math:`k` peaks of a group in translated and in measured data,
    precision at :math:`k` is :math:`|T_k \cap M_k| / k`; by chance it is :math:`k / n` for
    :math:`n` peaks. Peaks tied for the last place share it, see
    :func:`scmomer.metrics.marker_recovery`. The measured ranking of small groups is noisy, which
    limits the precision of any translation.

    Parameters
    ----------
    truth, translated, groupby, layer
        As in :func:`scmomer.pl.pseudobulk`. Not modified.
    ks
        Numbers of top peaks; values above the number of peaks are ignored.
    groups
        Groups to show, each with at least 2 cells and compared with all other cells; None for all.
    ax, save, show
        As in :func:`scmomer.pl.pseudobulk`.

    Returns
    -------
    Axes
        One line per group, a thick line for their mean, and a dashed line for chance.

    Raises
    ------
    KeyError
        If the column, layer or modality is absent.
    ValueError
        If no cell or peak is in both data sets, a group is unknown or has fewer than 2 cells, or no
        k is between 1 and the number of peaks.
    """
    pair = match_data(truth, translated, groupby, layer)
    chosen = check_groups(pair.labels, groups)
    n_peaks = len(pair.peaks)
    kept = sorted({int(k) for k in ks if 1 <= k <= n_peaks})
    if not kept:
        msg = f"Expected ks between 1 and the number of peaks, {n_peaks}, found {list(ks)}."
        raise ValueError(msg)
    precision = _precision(pair, groupby, chosen, kept)
    axes = panels(1, ax, (6.2, 4.0))
    _draw(axes[0], precision, chosen, kept, n_peaks)
    finish(axes, ax is None, save, show)
    return axes[0]


def _precision(pair: MatchedData, groupby: str, groups: list[str], ks: list[int]) -> np.ndarray:
    """Precision at each k, ``(n_groups, n_ks)``."""
    true, found = (_scores(m, pair, groupby, groups) for m in (pair.truth, pair.translated))
    rows = [slice(row, row + 1) for row in range(len(groups))]
    values = [
        [metrics.marker_recovery(true[r], found[r], k=k)["precision_at_k"] for k in ks]
        for r in rows
    ]
    return np.array(values)


def _scores(matrix: Values, pair: MatchedData, groupby: str, groups: list[str]) -> np.ndarray:
    """Differential score of each peak in each group, ``(n_groups, n_peaks)``."""
    cells = pd.RangeIndex(len(pair.labels)).astype(str)
    obs = pd.DataFrame({groupby: pair.labels}, index=cells)
    columns = pd.DataFrame(index=np.arange(len(pair.peaks)).astype(str))
    adata = AnnData(matrix, obs=obs, var=columns)  # rank_peaks writes to it
    rank_peaks(adata, groupby, groups=groups)
    ranking, scores = adata.uns["rank_peaks"], np.empty((len(groups), len(pair.peaks)))
    for row, group in enumerate(groups):
        scores[row, ranking["names"][group].astype(np.intp)] = ranking["scores"][group]
    return scores


def _draw(ax: Axes, precision: np.ndarray, groups: list[str], ks: list[int], n_peaks: int) -> None:
    colors = mpl.colormaps["tab20"].colors  # type: ignore[attr-defined]
    for number, (group, values) in enumerate(zip(groups, precision, strict=True)):
        color = colors[number % len(colors)]
        ax.plot(ks, values, "o-", markersize=3, linewidth=1, color=color, label=group)
    ax.plot(ks, precision.mean(axis=0), "k-", linewidth=2.5, label="mean of groups")
    chance = np.array(ks) / n_peaks
    ax.plot(ks, chance, "--", color="gray", linewidth=1, label="chance")
    ax.set_xscale("log")
    ax.set_xticks(ks, [str(k) for k in ks])
    ax.minorticks_off()
    ax.set_ylim(0, 1)
    ax.set_xlabel("k top differential peaks")
    ax.set_ylabel("precision at k")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
