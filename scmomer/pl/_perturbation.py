"""Predicted changes: of genes by perturbation, and against observed ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from matplotlib.axes import Axes

from scmomer._checks import whole_number
from scmomer.data import check_unique
from scmomer.pl._figure import finish, panels
from scmomer.tasks.perturbation import own_genes

_STATUS = {
    "seen": "measured",
    "unseen_single": "new gene",
    "combo_seen0": "new pair, no part seen",
    "combo_seen1": "new pair, one part seen",
    "combo_seen2": "new pair, both parts seen",
    "out_of_graph": "nothing known",
}


def perturbation(
    predicted: AnnData,
    observed: AnnData | None = None,
    *,
    perturbations: Sequence[str] | None = None,
    n_genes: int = 20,
    exclude_target: bool = True,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
) -> list[Axes]:
    """Plot predicted changes of the genes that change most, with standard deviations.

    Parameters
    ----------
    predicted
        Of :func:`scmomer.tl.perturb`.
    observed
        Measured changes of the same genes, with the same names of rows and
        ``layers["change"]``; shown beside, and correlated.
    perturbations
        Names of rows to show, a panel for each; None for the first four.
    n_genes
        Genes of a panel.
    exclude_target
        Leave out the perturbed genes themselves.
    ax
        Axes to draw into, one per panel; None creates a figure.
    save, show
        As in :func:`scmomer.pl.pseudobulk`.

    Returns
    -------
    list[Axes]
        One per perturbation: bars of predicted changes with standard deviations, the largest first;
        points of observed changes, with the correlation over all genes in the title.

    Raises
    ------
    KeyError
        If a row is absent, also of `observed` all that are shown, or there is no layer of changes.
    TypeError
        If `predicted` or `observed` is no AnnData.
    ValueError
        If `n_genes` is no whole number above 0, genes of `observed` differ, or names of rows repeat.
    """
    n_genes = whole_number("n_genes", n_genes)
    _check(predicted, "predicted")
    rows = list(predicted.obs_names[:4]) if perturbations is None else list(perturbations)
    if isinstance(perturbations, str):
        rows = [perturbations]
    if not rows:
        msg = "Expected rows of predicted to show, found none. Pass names of predicted.obs_names."
        raise ValueError(msg)
    if absent := [row for row in rows if row not in predicted.obs_names]:
        msg = (
            f"Expected rows {absent} in predicted, found {list(predicted.obs_names[:5])}. Pass names "
            "of predicted.obs_names."
        )
        raise KeyError(msg)
    if observed is not None:
        _check(observed, "observed")
        if not observed.var_names.equals(predicted.var_names):
            msg = (
                "Expected the same genes in observed and predicted, found others. Run "
                "`observed = observed[:, predicted.var_names].copy()`."
            )
            raise ValueError(msg)
        if not observed.obs_names.isin(rows).any():
            msg = (
                f"Expected rows of observed among {rows[:5]}, found "
                f"{list(observed.obs_names[:5])}. Name its rows as those of predicted."
            )
            raise KeyError(msg)
    axes = panels(len(rows), ax, (3.0, 0.6 + 0.17 * n_genes))
    for panel, row in zip(axes, rows, strict=True):
        _draw(panel, predicted, observed, row, n_genes, exclude_target)
    finish(axes, ax is None, save, show)
    return axes


def _check(adata: AnnData, name: str) -> None:
    if not isinstance(adata, AnnData):
        msg = (
            f"Expected {name} as an AnnData of scmomer.tl.perturb, found {type(adata).__name__}. "
            "Pass its result."
        )
        raise TypeError(msg)
    check_unique(adata.obs_names, f"{name}.obs_names")
    if "change" not in adata.layers:
        msg = (
            f"Expected layers['change'] in {name}, found {sorted(map(str, adata.layers))}. Run "
            "`scmomer.tl.perturb` first."
        )
        raise KeyError(msg)


def _layer(adata: AnnData, name: str, row: str) -> np.ndarray:
    """Return one row of a layer, ``(n_genes,)``."""
    values = adata.layers[name][adata.obs_names.get_loc(row)]
    return np.asarray(values.toarray() if sp.issparse(values) else values).ravel()


def _draw(
    ax: Axes,
    predicted: AnnData,
    observed: AnnData | None,
    row: str,
    n_genes: int,
    exclude_target: bool,
) -> None:
    """Draw the largest predicted changes of one row."""
    at = predicted.obs_names.get_loc(row)
    change = _layer(predicted, "change", row)
    kept = np.ones(len(change), bool)
    if exclude_target and "perturbation" in predicted.obs:
        own = tuple(str(predicted.obs["perturbation"].iloc[at]).split("+"))
        kept = ~own_genes([own], predicted.var_names)[0]
    order = np.flatnonzero(kept)
    order = order[np.argsort(-np.abs(change[order]), kind="stable")][:n_genes]
    order = order[np.argsort(change[order], kind="stable")]
    place = np.arange(len(order))
    colors = np.where(change[order] > 0, "#c0504d", "#4f81bd")
    error = _layer(predicted, "std", row)[order] if "std" in predicted.layers else None
    ax.barh(
        place,
        change[order],
        xerr=error,
        color=colors,
        height=0.7,
        error_kw={"ecolor": "0.4", "elinewidth": 0.8},
    )
    title = row
    if "status" in predicted.obs:
        state = str(predicted.obs["status"].iloc[at])
        title += f"\n{_STATUS.get(state, state)}"
    if observed is not None and row in observed.obs_names:
        truth = _layer(observed, "change", row)
        ax.scatter(truth[order], place, s=14, color="black", zorder=3, label="observed")
        ax.legend(frameon=False, fontsize="x-small", loc="best", handletextpad=0.1)
        if np.ptp(truth[kept]) > 0 and np.ptp(change[kept]) > 0:
            title += f", r = {np.corrcoef(truth[kept], change[kept])[0, 1]:.2f}"
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.set_yticks(place, list(predicted.var_names[order]), fontsize="x-small")
    ax.set_ylim(-0.6, len(order) - 0.4)
    # perturb_atac and perturb_protein give probabilities and counts, with those of controls.
    ax.set_xlabel("predicted change" + ("" if "control" in predicted.layers else ", log(1 + x)"))
    ax.set_title(title, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
