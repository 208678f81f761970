"""Genes or peaks with the largest attributions, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from scmomer._checks import whole_number
from scmomer.data import check_container
from scmomer.pl._figure import finish, panels

_UP, _DOWN = "#c44e52", "#4c72b0"
_UNITS = {
    "atac": "logit",
    "protein": "log expected count",
    "rna": "log2 expression",
    "obs": "log odds",
}


def attributions(
    data: AnnData | MuData,
    *,
    key: str = "attributions",
    target: str | None = None,
    groups: Sequence[str] | None = None,
    n_features: int = 10,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
) -> list[Axes]:
    """Plot the genes or peaks with the largest attributions of :func:`scmomer.tl.attribute`.

    Each panel is a group, with its features by decreasing absolute value: red bars raise the
    prediction, blue ones lower it. All panels have the same scale.

    Parameters
    ----------
    data
        AnnData, or MuData with attributions in one of its modalities.
    key
        Key of the attributions in ``varm`` and ``uns``.
    target
        One of several targets; None for the first one.
    groups
        Groups to show; None for all that have cells.
    n_features
        Number of bars in a panel.
    ax, save, show
        As in :func:`scmomer.pl.pseudobulk`; one Axes for each group.

    Returns
    -------
    list[Axes]
        One for each group.

    Raises
    ------
    KeyError
        If there are no attributions.
    ValueError
        If a group or target is unknown, or several modalities have attributions.

    Examples
    --------
    >>> scmomer.tl.attribute(rna, model, target=("atac", peak), groupby="cell_type")
    >>> scmomer.pl.attributions(rna, n_features=8)
    """
    n_features = whole_number("n_features", n_features, " Pass 10, for example.")
    adata = _with_attributions(data, key)
    found = adata.uns[key]
    targets, names = list(found["targets"]), list(found["groups"])
    if target is not None and target not in targets:
        msg = f"Expected a target among {targets}, found {target!r}. Pass one of them."
        raise ValueError(msg)
    place = 0 if target is None else targets.index(target)
    chosen = _choose(names, np.asarray(found["n_cells"]), groups)
    values = np.asarray(adata.varm[key])
    values = values[..., place] if values.ndim == 3 else values  # (n_vars, n_groups)
    shown = [_largest(values[:, names.index(g)], n_features) for g in chosen]
    highest = (
        max(
            [
                0.0,
                *(
                    np.abs(values[top, names.index(g)]).max(initial=0.0)
                    for g, top in zip(chosen, shown, strict=True)
                ),
            ]
        )
        or 1.0
    )
    longest = max((len(str(adata.var_names[i])) for top in shown for i in top), default=1)
    n_bars = max(map(len, shown), default=1)
    axes = panels(len(chosen), ax, (2.4 + 0.075 * longest, 1.3 + 0.22 * n_bars))
    for panel, group, top in zip(axes, chosen, shown, strict=True):
        n_cells = int(found["n_cells"][names.index(group)])
        _draw(panel, pd.Series(values[top, names.index(group)], adata.var_names[top]), highest)
        panel.set_title(f"{group} ({n_cells:,} cells)", fontsize="medium")
        unit = _UNITS[str(found["params"]["target"])]
        panel.set_xlabel(f"contribution to {unit}\nof {targets[place]}", fontsize="small")
    finish(axes, ax is None, save, show)
    return axes


def _with_attributions(data: AnnData | MuData, key: str) -> AnnData:
    """Return the AnnData with the attributions."""
    check_container(data)
    parts: dict[str, Any] = {"": data} if isinstance(data, AnnData) else dict(data.mod)
    there = {m: part for m, part in parts.items() if key in part.uns and key in part.varm}
    if not there:
        keys = sorted({k for part in parts.values() for k in part.uns})
        msg = (
            f"Expected attributions in uns[{key!r}], found {keys}. Run scmomer.tl.attribute first, "
            "or pass its key_added as key=."
        )
        raise KeyError(msg)
    if len(there) > 1:
        msg = (
            f"Expected attributions in one modality, found them in {sorted(there)}. Pass one of "
            f"these, such as mdata[{min(there)!r}]."
        )
        raise ValueError(msg)
    return next(iter(there.values()))


def _choose(names: list[str], n_cells: np.ndarray, groups: Sequence[str] | None) -> list[str]:
    if groups is None:
        return [name for name, n in zip(names, n_cells, strict=True) if n]
    chosen = [] if isinstance(groups, str) else [str(group) for group in groups]
    if not chosen or set(chosen) - set(names):
        msg = f"Expected a list of groups among {names}, found {groups!r}. Pass some of them."
        raise ValueError(msg)
    return chosen


def _largest(values: np.ndarray, n: int) -> np.ndarray:
    """Return positions of the largest absolute values that are not 0, largest first."""
    size = np.nan_to_num(np.abs(values))
    order = np.argsort(-size, kind="stable")[:n]
    return order[size[order] > 0]


def _draw(ax: Axes, values: pd.Series, highest: float) -> None:
    place = np.arange(len(values))
    ax.barh(place, values, color=np.where(values > 0, _UP, _DOWN), height=0.75)
    ax.set_yticks(place, values.index.astype(str), fontsize="small")
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlim(-1.08 * highest, 1.08 * highest)
    ax.locator_params(axis="x", nbins=4)
    ax.tick_params(axis="x", labelsize="small")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
