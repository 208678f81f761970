"""Naive predictors of drug response: what a model has to beat."""

from __future__ import annotations

from typing import Final

import numpy as np
from sklearn.linear_model import Ridge

from scmomer.tasks.drugs._effects import mean_effects, soft_impute
from scmomer.tasks.drugs._line_kernel import Standardizer
from scmomer.tasks.drugs._molecules import Molecules

_SHRINKAGE: Final = 0.135  # in GDSC, 6 in ln(uM)
_RIDGE: Final = 1000.0
_TANIMOTO_WIDTH: Final = 0.07


def naive_predictions(
    train: np.ndarray,
    *,
    expression: np.ndarray | None = None,
    molecules: Molecules | None = None,
    tissues: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Predict all pairs of a table from a part of it, in all the simple ways.

    Parameters
    ----------
    train
        Responses of training pairs, ``(n_lines, n_drugs)``; NaN elsewhere. Lines and drugs without
        any are new.
    expression
        Expression of the lines, ``(n_lines, n_genes)``.
    molecules
        The drugs, for predictions by structure.
    tissues
        Of each line, ``(n_lines,)``; None where unknown.

    Returns
    -------
    dict
        Names and predictions, each ``(n_lines, n_drugs)`` without NaN.

        - ``"mean"``, ``"drug mean"``, ``"line mean"``, ``"mean effects"`` (line + drug); with
          `tissues`, ``"tissue mean"`` and ``"tissue x drug mean"``.
        - ``"soft-impute"``: mean effects and what is left of low rank; no features.
        - ``"ridge, cell effect"`` and ``"ridge"``: the effect of a line, and its responses without
          noise, by ridge regression on its expression.
        - ``"other drugs"``: mean deviation of the line for other drugs.
        - ``"similar drugs"``: the same, weighted by Tanimoto similarity of Morgan fingerprints.

    Notes
    -----
    The means are those of DrEval (Nature Communications, 2026); soft-impute: Mazumder et al., JMLR
    11, 2287 (2010).
    """
    effects = mean_effects(train)
    mean, drug, line = effects.mean, effects.drug, effects.line
    here = np.isfinite(train)
    total = float(train[here].mean())
    found = {
        "mean": np.full(train.shape, total),
        "drug mean": np.broadcast_to(_mean(train, 0, total), train.shape),
        "line mean": np.broadcast_to(_mean(train, 1, total)[:, None], train.shape),
    }
    if tissues is not None:
        found |= _tissue_means(train, tissues, found["drug mean"])
    found["mean effects"] = effects.matrix
    left = soft_impute(train - effects.matrix, _SHRINKAGE)
    found["soft-impute"] = effects.matrix + left
    if expression is not None:
        known = here.any(1)
        scale = Standardizer.fit(expression[known])
        x = scale(expression)
        for name, target in (
            ("ridge, cell effect", line[:, None]),
            ("ridge", left + line[:, None]),
        ):
            fit = Ridge(alpha=_RIDGE).fit(x[known], target[known])
            found[name] = mean + drug + fit.predict(x).reshape(len(x), -1)
    if molecules is not None:
        deviations = train - _mean(train, 0, total)
        similarity = molecules.tanimoto(molecules)
        same = molecules.group[:, None] == molecules.group
        for name, weights in (
            ("other drugs", np.ones_like(similarity)),
            ("similar drugs", np.exp((similarity - 1) / _TANIMOTO_WIDTH)),
        ):
            weights = np.where(same, 0, weights)
            sums = np.where(here, deviations, 0) @ weights
            n = here @ weights
            moved = np.divide(sums, n, out=np.zeros(train.shape), where=n > 0)
            found[name] = mean + drug + moved
    return found


def _mean(values: np.ndarray, axis: int, otherwise: float) -> np.ndarray:
    here = np.isfinite(values)
    n = here.sum(axis)
    sums = np.where(here, values, 0).sum(axis)
    return np.where(n > 0, sums / np.maximum(n, 1), otherwise)


def _tissue_means(
    train: np.ndarray, tissues: np.ndarray, drug_mean: np.ndarray
) -> dict[str, np.ndarray]:
    names = np.array(["" if t is None else str(t) for t in tissues])
    by_tissue, by_both = (np.array(drug_mean) for _ in range(2))
    total = float(np.nanmean(train))
    for name in np.unique(names):
        rows = names == name
        part = train[rows]
        if name and np.isfinite(part).any():
            by_tissue[rows] = np.nanmean(part)
            n = np.isfinite(part).sum(0)
            sums = np.nansum(part, 0)
            by_both[rows] = np.where(n > 0, sums / np.maximum(n, 1), drug_mean[rows])
        else:
            by_tissue[rows] = total
    return {"tissue mean": by_tissue, "tissue x drug mean": by_both}
