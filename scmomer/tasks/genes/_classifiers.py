"""Classifiers of genes and of pairs of genes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

Classifier = Literal["logistic", "forest"]
Split = tuple[np.ndarray, np.ndarray]

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # values of C, from strong to weak
_N_INNER, _N_TREES = 3, 500
_MAX_STEPS, _TOLERANCE = 300, 1e-3


def fit_classifier(
    kind: Classifier, x: np.ndarray, y: np.ndarray, *, seed: int, n_jobs: int = 1
) -> Pipeline:
    """Return a classifier of genes, fitted.

    Parameters
    ----------
    kind
        ``"logistic"``, L2 logistic regression of standardized features with C by inner 3-fold
        cross-validation; ``"forest"``, 500 trees.
    x, y
        Features ``(n_genes, dim)`` and classes, bool ``(n_genes,)``.
    seed, n_jobs
        Seed, and threads of the forest.
    """
    if kind == "forest":
        forest = RandomForestClassifier(_N_TREES, random_state=seed, n_jobs=n_jobs)
        return make_pipeline(forest).fit(x, y)
    n_inner = min(_N_INNER, int(min(y.sum(), (~y).sum())))
    if n_inner < 2:
        return fit_logistic(x, y, [])
    folds = StratifiedKFold(n_inner, shuffle=True, random_state=seed)
    return fit_logistic(x, y, list(folds.split(x, y)))


def fit_logistic(x: np.ndarray, y: np.ndarray, inner: Sequence[Split]) -> Pipeline:
    """Return logistic regression of standardized features, with the best C of inner splits.

    Parameters
    ----------
    x, y
        Features, float32 ``(n, dim)``, and classes, bool ``(n,)``.
    inner
        Rows to fit and to score, by log loss, for each split; without any, C is 0.01.
    """
    losses = np.zeros(len(PENALTIES))
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        for train, test in inner:
            losses += _losses(x[train], y[train], x[test], y[test])
    best = PENALTIES[int(losses.argmin())] if len(inner) else 1e-2
    pipeline = make_pipeline(StandardScaler(), _logistic(best))
    _quietly(pipeline, x, y)
    return pipeline


def _losses(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> np.ndarray:
    """Return the mean log loss of test data for each C, ``(n_penalties,)``."""
    center, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale == 0] = 1
    a, b = (x - center) / scale, (x_test - center) / scale
    sign = np.where(y_test, -1.0, 1.0)
    model = _logistic(PENALTIES[0], warm_start=True)  # each C starts from the one before
    losses = []
    for c in PENALTIES:
        _quietly(model.set_params(C=c), a, y)
        losses.append(np.logaddexp(0, sign * (b @ model.coef_[0] + model.intercept_[0])).mean())
    return np.array(losses)


def _logistic(c: float, warm_start: bool = False) -> LogisticRegression:
    return LogisticRegression(C=c, tol=_TOLERANCE, max_iter=_MAX_STEPS, warm_start=warm_start)


def _quietly(model: Any, x: np.ndarray, y: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties may end early
        model.fit(x, y)


def probability(model: Pipeline, x: np.ndarray) -> np.ndarray:
    """Return the probability of the positive class, ``(n,)``."""
    return model.predict_proba(x)[:, 1]
