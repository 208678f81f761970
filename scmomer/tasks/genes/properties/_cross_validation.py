"""Repeated folds of genes, scores of each and their standard error."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedGroupKFold

from scmomer.tasks.genes._classifiers import Classifier, Split, fit_classifier, probability

METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "auroc": roc_auc_score,
    "average_precision": average_precision_score,
}
Features = Callable[[int], np.ndarray]
"""Features of all genes of a task in a repeat, ``(n_genes, dim)``."""


def make_folds(
    y: np.ndarray, cv: int, repeats: int, groups: np.ndarray | None, seed: int
) -> list[Split]:
    """Return ``cv * repeats`` splits, stratified by class, repeat after repeat.

    Parameters
    ----------
    y
        Classes, bool ``(n_genes,)``.
    cv, repeats
        Folds, and times that genes are divided anew.
    groups
        Groups that no split divides, ``(n_genes,)``.
    seed
        Seed.

    Raises
    ------
    ValueError
        If there are fewer groups than folds.
    """
    x = np.zeros((len(y), 1))
    if groups is None:
        folds = RepeatedStratifiedKFold(n_splits=cv, n_repeats=repeats, random_state=seed)
        return list(folds.split(x, y))
    if (n_groups := len(set(groups))) < cv:
        msg = (
            f"Expected at least as many groups as folds, {cv}, found {n_groups} among the labeled "
            "genes. Pass a smaller cv= or other groups=."
        )
        raise ValueError(msg)
    splits: list[Split] = []
    for repeat in range(repeats):
        grouped = StratifiedGroupKFold(cv, shuffle=True, random_state=seed + repeat)
        splits += grouped.split(x, y, groups)
    return splits


def score_folds(
    features: Features,
    y: np.ndarray,
    splits: list[Split],
    kind: Classifier,
    cv: int,
    seed: int,
    n_jobs: int,
) -> pd.DataFrame:
    """Return AUROC and average precision of each split, ``(n_splits, 2)``.

    A split with one class among its test genes (possible with groups) has NaN.
    """
    rows = []
    for number, (train, test) in enumerate(splits):
        both = len(np.unique(y[train])) == 2 and len(np.unique(y[test])) == 2
        if not both:
            rows.append(dict.fromkeys(METRICS, np.nan))
            continue
        x = features(number // cv)
        model = fit_classifier(kind, x[train], y[train], seed=seed, n_jobs=n_jobs)
        predicted = probability(model, x[test])
        rows.append({name: float(score(y[test], predicted)) for name, score in METRICS.items()})
    return pd.DataFrame(rows)


def corrected_se(scores: np.ndarray, splits: list[Split]) -> float:
    """Return the standard error of the mean over repeated folds.

    Scores of folds are not independent, as their training sets overlap. Nadeau and Bengio (2003)
    replace the factor 1/J of the variance by 1/J + n_test / n_train.

    Parameters
    ----------
    scores
        Scores, or paired differences, of J splits; NaN are left out.
    splits
        The splits.
    """
    valid = scores[~np.isnan(scores)]
    if len(valid) < 2:
        return float("nan")
    share = np.mean([len(test) / len(train) for train, test in splits])
    return float(np.sqrt((1 / len(valid) + share) * valid.var(ddof=1)))
