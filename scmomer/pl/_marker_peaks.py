"""Translated probability of single peaks, by group."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from scmomer.pl._figure import finish, panels
from scmomer.pl._pair import MatchedData, match_data


def marker_peaks(
    truth: AnnData | MuData,
    translated: AnnData | MuData,
    groupby: str,
    peaks: Sequence[str],
    *,
    layer: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
) -> list[Axes]:
    """Plot the distribution of translated probabilities of peaks in each group.

    As in Fig. 2g of the paper. A diamond marks the share of cells in which the peak is measured as
    open. For a calibrated translation it is at the mean, the line in each violin.

    Parameters
    ----------
    truth, translated, groupby, layer
        As in :func:`scmomer.pl.pseudobulk`.
    peaks
        Names of peaks, one per panel.
    ax, save, show
        As in :func:`scmomer.pl.pseudobulk`; one Axes per peak.

    Returns
    -------
    list[Axes]
        One per peak.

    Raises
    ------
    KeyError
        If a peak is not in both data sets, or the column, layer or modality is absent.
    ValueError
        If no cell or peak is in both data sets, or `peaks` is empty.
    """
    pair = match_data(truth, translated, groupby, layer)
    wanted = _check_peaks(pair, peaks)
    width = 1 + 0.35 * len(pair.labels.categories)
    axes = panels(len(wanted), ax, (max(width, 3.0), 3.2), columns=2)
    for panel, peak in zip(axes, wanted, strict=True):
        _draw(panel, pair, peak)
        panel.set_title(peak)
    axes[0].set_ylim(top=axes[0].get_ylim()[1] * 1.25)  # room for the legend
    axes[0].legend(loc="upper right", fontsize="x-small", ncols=2, handlelength=1)
    finish(axes, ax is None, save, show)
    return axes


def _check_peaks(pair: MatchedData, peaks: Sequence[str]) -> list[str]:
    wanted = [peaks] if isinstance(peaks, str) else list(peaks)
    if not wanted:
        msg = "peaks= has no names of peaks."
        raise ValueError(msg)
    if unknown := [peak for peak in wanted if peak not in pair.peaks]:
        msg = (
            f"Expected peaks among the {len(pair.peaks)} that are measured and translated, such as "
            f"{pair.peaks[0]!r}, found {unknown}."
        )
        raise KeyError(msg)
    return wanted


def _draw(ax: Axes, pair: MatchedData, peak: str) -> None:
    opened, probability = pair.column(peak)  # (n_cells,) each
    groups = pair.labels.categories.tolist()
    members = [pair.labels.codes == code for code in range(len(groups))]
    places = np.arange(len(groups))
    values = [probability[cells] for cells in members]
    parts = ax.violinplot(values, places, showmeans=True, showextrema=False, widths=0.8)
    parts["cmeans"].set_label("mean translated")
    shares = [opened[cells].mean() for cells in members]
    ax.plot(places, shares, "D", color="black", markersize=4, label="measured open")
    ax.set_xticks(places, groups, rotation=90)
    ax.set_ylabel("translated probability")
    ax.set_ylim(bottom=0)
