"""Observed against predicted response to drugs, within drugs, and as sensitive or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from scipy.stats import norm
from sklearn.metrics import precision_recall_curve, roc_curve

from scmomer import metrics
from scmomer.data import check_unique, warn
from scmomer.pl._figure import finish, panels
from scmomer.tasks.drugs import (
    ResponseTable,
    match_drug_names,
    match_line_names,
    read_thresholds,
)

_KEY = "scmomer_drug_response"
_OURS, _NAIVE = "tab:blue", "0.55"
_MAX_POINTS = 3000  # more pairs are drawn as density
_LIMITS = (0.1, 99.9)  # percentiles shown
_BINS = np.linspace(-1, 1, 41).tolist()


class _Matched(NamedTuple):
    """Pairs of lines and drugs in both, each ``(n_lines, n_drugs)``; observed ones may be NaN."""

    observed: np.ndarray
    predicted: np.ndarray
    std: np.ndarray | None
    naive: np.ndarray | None
    drugs: list[str]
    units: str


def drug_response(
    predicted: AnnData,
    observed: pd.DataFrame | ResponseTable,
    *,
    thresholds: Mapping[str, float] | pd.Series | pd.DataFrame | None = None,
    key: str = _KEY,
    min_lines: int = 5,
    ax: Sequence[Axes] | None = None,
    save: str | Path | None = None,
    show: bool | None = None,
) -> list[Axes]:
    """Plot observed against predicted response, and the correlation within each drug.

    Most of the variance is between drugs, so that r over all pairs is high even for the mean of each
    drug, which is beside it: look at the second panel first.

    Parameters
    ----------
    predicted
        What :meth:`scmomer.DrugResponseModel.predict` returns, or data with results of
        :func:`scmomer.tl.drug_response`: cell lines that the model was not trained on.
    observed
        Responses in the same units, DataFrame of lines x drugs with NaN where not measured, or
        what :func:`~scmomer.tasks.drugs.read_response` returns. Matched by name.
    thresholds
        Below which response a line is sensitive, by name of drug: adds ROC and precision-recall
        curves over all pairs.
    key
        Where results of :func:`scmomer.tl.drug_response` are.
    min_lines
        Drugs with fewer observed lines are not in the second panel.
    ax
        Two axes to draw into, four with `thresholds`; None creates a figure.
    save, show
        As in :func:`scmomer.pl.pseudobulk`.

    Returns
    -------
    list[Axes]
        Observed against predicted, with r and RMSE, and those of the observed mean of each drug.
        Histogram of r within drugs, where 0 is the mean of each drug; gray: without networks, if
        `predicted` has that. With `thresholds`, the ROC curve with AUROC, and its mean within drugs;
        and precision and recall with average precision. Gray there is the observed share of sensitive
        lines of each drug as the score, an optimistic one; dotted is chance.

    Raises
    ------
    KeyError
        If `predicted` holds no predictions.
    TypeError
        If `observed` is no table, or `predicted` no AnnData.
    ValueError
        If no line or drug is in both, names repeat, units differ, no pair is observed, or all pairs
        are on one side of the thresholds.

    Warns
    -----
    UserWarning
        If all observed lines are training lines.

    Examples
    --------
    >>> predicted = model.predict(new_lines)
    >>> scmomer.pl.drug_response(predicted, scmomer.tasks.drugs.read_response(table))
    """
    matched = _match(predicted, observed, key)
    limits = None if thresholds is None else read_thresholds(thresholds, matched.drugs)
    labels = None if limits is None else _labels(matched, limits)
    axes = panels(2 if labels is None else 4, ax, (4.2, 3.7))
    _draw_values(axes[0], matched)
    _draw_within(axes[1], matched, min_lines)
    if labels is not None and limits is not None:
        _draw_curves(axes[2], axes[3], matched, labels, limits)
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    finish(axes, ax is None, save, show)
    return axes


def _match(predicted: AnnData, observed: pd.DataFrame | ResponseTable, key: str) -> _Matched:
    """Bring both to the same lines and drugs, in the order of the observed ones."""
    if not isinstance(predicted, AnnData):
        msg = (
            f"Expected predicted responses as an AnnData, found {type(predicted).__name__}. Pass "
            "what predict() of a DrugResponseModel returns."
        )
        raise TypeError(msg)
    mean, std, naive = _predictions(predicted, key)
    units = str(predicted.uns.get(key, {}).get("units", ""))
    if isinstance(observed, ResponseTable):
        _check_units(observed.units, units)
        observed = observed.frame
    if not isinstance(observed, pd.DataFrame):
        msg = (
            f"Expected observed responses as a DataFrame of lines x drugs, found "
            f"{type(observed).__name__}. For a table with a row for each pair run "
            "`observed = scmomer.tasks.drugs.read_response(table)`."
        )
        raise TypeError(msg)
    for names, where in (
        (mean.index, "predicted.obs_names"),
        (observed.index, "observed.index"),
        (observed.columns, "observed.columns"),
    ):
        if not len(names):
            msg = f"Expected names in {where}, found none. Check how they were selected."
            raise ValueError(msg)
        check_unique(names.astype(str), where, "Average or rename them.")
    drugs = _found(observed.columns, match_drug_names, mean.columns, "drugs")
    lines = _found(observed.index, match_line_names, mean.index, "cell lines")
    rows, columns = mean.index.get_indexer(lines), mean.columns.get_indexer(drugs)
    y = observed.set_axis(observed.index.astype(str)).set_axis(observed.columns.astype(str), axis=1)
    values = y.loc[lines.index, drugs.index].to_numpy(np.float64)
    if not np.isfinite(values).any():
        msg = "Expected an observed response of a predicted pair, found only NaN. Pass others."
        raise ValueError(msg)
    here = np.ix_(rows, columns)

    def part(table: Any) -> np.ndarray | None:
        return None if table is None else np.asarray(table, np.float64)[here]

    found = part(mean)
    assert found is not None
    known = predicted.obs.get("is_training_line")
    if known is not None and known.to_numpy(bool)[rows].all():
        warn(
            "All observed lines are training lines of the model (obs['is_training_line']): this "
            "plot says nothing of new lines."
        )
    return _Matched(values, found, part(std), part(naive), drugs.index.tolist(), units)


def _check_units(observed: str, predicted: str) -> None:
    """Raise if both are known and differ."""
    if observed and predicted and observed != predicted:
        msg = (
            f"Expected observed responses in the units of the predicted ones, {predicted!r}, found "
            f"{observed!r}. Pass those that the model was trained on."
        )
        raise ValueError(msg)


def _predictions(data: AnnData, key: str) -> tuple[pd.DataFrame, Any, Any]:
    """Return predictions, standard deviations, and predictions without networks."""
    if key in data.obsm:  # of tl.drug_response
        mean = data.obsm[key].rename(index=str)
        return mean, data.obsm.get(f"{key}_std"), None
    if key in data.uns and "naive" in data.layers:  # of predict
        return data.to_df().rename(index=str), data.layers["std"], data.layers["naive"]
    msg = (
        f"Expected predictions in obsm[{key!r}], or what predict() of a DrugResponseModel returns, "
        f"found obsm with {list(data.obsm)}. Run `scmomer.tl.drug_response(adata, model)` first."
    )
    raise KeyError(msg)


def _found(names: pd.Index, match: Any, known: pd.Index, what: str) -> pd.Series:
    """Return the predicted name of each observed one that has one."""
    matched: pd.Series = match(names.astype(str).tolist(), known.astype(str).tolist())
    found = matched[matched.notna()]
    if found.empty:
        msg = (
            f"Expected {what} with the same names in both, found {names[0]!r} observed and "
            f"{known[0]!r} predicted. Rename one of them; observed is lines x drugs, and a table "
            "with a row for each pair is read by scmomer.tasks.drugs.read_response."
        )
        raise ValueError(msg)
    return found


def _labels(matched: _Matched, limits: np.ndarray) -> np.ndarray:
    """Return 1 for sensitive, 0 for resistant, NaN elsewhere, ``(n_lines, n_drugs)``."""
    labels = metrics.binary_labels(matched.observed, limits)
    known = labels[np.isfinite(labels)]
    if not 0 < known.sum() < len(known):
        msg = (
            "Expected observed responses above and below thresholds, found "
            f"{int(known.sum())} of {len(known)} below. Pass other thresholds=."
        )
        raise ValueError(msg)
    return labels


def _draw_values(ax: Axes, matched: _Matched) -> None:
    here = np.isfinite(matched.observed)
    x, y = matched.predicted[here], matched.observed[here]
    low, high = np.percentile(np.concatenate([x, y]), _LIMITS)
    extent = (low - 0.04 * (high - low), high + 0.04 * (high - low))
    if len(x) > _MAX_POINTS:
        options: dict[str, Any] = {"bins": "log", "mincnt": 1, "linewidths": 0.2}
        ax.hexbin(x, y, gridsize=45, extent=(*extent, *extent), cmap="viridis", **options)
    else:
        ax.scatter(x, y, s=9, color=_OURS, alpha=0.5, linewidths=0)
    ax.plot(extent, extent, color="0.3", linewidth=0.8, linestyle="--")
    scores = metrics.drug_response(matched.observed, matched.predicted)
    means = np.broadcast_to(_drug_means(matched.observed), matched.observed.shape)
    naive = metrics.drug_response(matched.observed, means)
    text = f"drug means: r = {naive['pearson']:.2f}, RMSE {naive['rmse']:.2f}"
    ax.text(0.03, 0.97, text, transform=ax.transAxes, va="top", color="0.4", fontsize="small")
    unit = f" ({matched.units})" if matched.units else ""
    ax.set(xlim=extent, ylim=(extent[0], extent[1] + 0.08 * (extent[1] - extent[0])))
    ax.set(xlabel=f"predicted response{unit}", ylabel=f"observed response{unit}")
    ax.set_title(f"{len(x):,} pairs: r = {scores['pearson']:.2f}, RMSE {scores['rmse']:.2f}")


def _drug_means(values: np.ndarray) -> np.ndarray:
    """Return the mean of each drug, ``(n_drugs,)``; 0 for one without values."""
    here = np.isfinite(values)
    return np.where(here, values, 0).sum(0) / np.maximum(here.sum(0), 1)


def _draw_within(ax: Axes, matched: _Matched, min_lines: int) -> None:
    def within(values: np.ndarray) -> np.ndarray:
        found = metrics.drug_response_per_drug(matched.observed, values, min_lines=min_lines)
        return found["pearson"].dropna().to_numpy()

    scores = within(matched.predicted)
    if not len(scores):
        ax.set_title(f"no drug with {min_lines} lines")
        return
    ax.hist(scores, bins=_BINS, color=_OURS, alpha=0.75, linewidth=0, label="predicted")
    lowest = scores.min()
    if matched.naive is not None and not np.allclose(matched.naive, matched.predicted):
        naive = within(matched.naive)
        lowest = min(lowest, naive.min())
        ax.hist(naive, bins=_BINS, histtype="step", color=_NAIVE, label="without networks")
        ax.set_ylim(0, 1.25 * ax.get_ylim()[1])  # room for the legend
        ax.legend(loc="upper left", frameon=False, fontsize="small")
    ax.axvline(0, color="0.4", linestyle=":", linewidth=1, zorder=0)
    ax.axvline(scores.mean(), color=_OURS, linewidth=1.5)
    low = min(-0.25, np.floor(10 * lowest) / 10 - 0.05)
    ax.set(xlim=(low, 1.02), xlabel="r over lines, within a drug", ylabel="drugs")
    ax.set_title(f"{len(scores)} drugs: mean r within drugs = {scores.mean():.2f}")


def _draw_curves(
    roc: Axes, precision_recall: Axes, matched: _Matched, labels: np.ndarray, limits: np.ndarray
) -> None:
    """Draw ROC and precision-recall curves of the prediction and of the shares of drugs."""
    score = limits - matched.predicted
    if matched.std is not None:
        score = norm.cdf(score / matched.std)
    score = np.where(np.isfinite(labels), score, 0.0)
    share = np.broadcast_to(_drug_means(labels), labels.shape)
    here = np.isfinite(labels)
    positive = labels[here] == 1
    for name, x, color, width in (
        ("share of each drug", share, _NAIVE, 1.2),
        ("predicted", score, _OURS, 1.8),
    ):
        scores = metrics.drug_sensitivity(labels, x)
        false, true, _ = roc_curve(positive, x[here])
        style: dict[str, Any] = {"color": color, "linewidth": width}
        roc.plot(false, true, label=f"{name} {scores['auroc']:.3f}", **style)
        precision, recall, _ = precision_recall_curve(positive, x[here])
        label = f"{name} {scores['average_precision']:.3f}"
        # The last point (recall 0, precision 1) is a convention.
        precision_recall.step(recall[:-1], precision[:-1], where="post", label=label, **style)
    rate = scores["base_rate"]
    roc.plot([0, 1], [0, 1], color="0.7", linestyle=":", linewidth=1, zorder=0)
    precision_recall.axhline(rate, color="0.7", linestyle=":", linewidth=1, zorder=0)
    within = scores["drug_auroc"]
    roc.set(xlabel="false positive rate", ylabel="true positive rate")
    roc.set_title(f"ROC; mean AUROC within drugs = {within:.2f}")
    precision_recall.set(xlabel="recall", ylabel="precision")
    precision_recall.set_title(f"{len(positive):,} pairs, {rate:.1%} sensitive")
    for panel in (roc, precision_recall):
        panel.set(xlim=(0, 1), ylim=(0, 1.02))
        panel.legend(loc="best", frameon=False, fontsize="small", handlelength=1.5)
