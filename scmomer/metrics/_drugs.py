"""Sensitive or not, synergistic or not: how well scores rank cell lines and pairs of drugs."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from scmomer.metrics._regression import check_drugs, check_responses, pearson, ranks

Rule = Literal["threshold", "quantile"]
_MIN_TRAINING_LINES = 5  # of a drug, for a quantile


def drug_sensitivity(sensitive: ArrayLike, score: ArrayLike) -> dict[str, float]:
    r"""How well scores rank sensitive cell lines of each drug, and over all pairs.

    Over all pairs, the share of sensitive lines of each drug is a good score (AUROC 0.75 on GDSC)
    that says nothing about cell lines; within drugs it has AUROC 0.5 and the base rate as average
    precision.

    Parameters
    ----------
    sensitive
        1 for sensitive, 0 for resistant, NaN for pairs that are not in the test, shape
        ``(n_lines, n_drugs)``; see :func:`~scmomer.metrics.binary_labels`.
    score
        Larger if more sensitive, such as a probability or minus the predicted ln IC50, shape
        ``(n_lines, n_drugs)``, finite for each pair of the test. Ties count one half.

    Returns
    -------
    dict
        ``drug_auroc``, ``drug_average_precision`` and ``drug_base_rate``: means over drugs with
        lines of both classes (NaN if there is none); ``auroc``, ``average_precision`` and
        ``base_rate`` over all pairs; ``n_pairs``, ``n_drugs`` scored and ``n_drugs_left_out``
        with one class.

    Raises
    ------
    ValueError
        If shapes differ, labels are not 0 and 1, nothing is labeled, or a score is missing.

    Examples
    --------
    >>> drug_sensitivity([[1.0], [0.0]], [[0.9], [0.2]])["drug_auroc"]
    1.0
    """
    label, x = check_responses(sensitive, score, ("sensitive", "score"))
    check_drugs(label, "sensitive")
    here = np.isfinite(label)
    if strange := sorted(set(np.unique(label[here]).tolist()) - {0.0, 1.0}):
        msg = (
            f"Expected 0, 1 or NaN in `sensitive`, found {strange[:3]}. Run "
            "`sensitive = scmomer.metrics.binary_labels(values, thresholds)`."
        )
        raise ValueError(msg)
    positive = label == 1
    n, n_positive = here.sum(axis=0), positive.sum(axis=0)
    both = (n_positive > 0) & (n_positive < n)
    auroc, precision, rate = (
        values[both].mean() if both.any() else np.nan
        for values in (*_per_drug(positive, x, n, n_positive), n_positive / np.maximum(n, 1))
    )
    result = {
        "drug_auroc": auroc,
        "drug_average_precision": precision,
        "drug_base_rate": rate,
        **_pooled(positive[here], x[here]),
        "n_pairs": here.sum(),
        "n_drugs": both.sum(),
        "n_drugs_left_out": ((n > 0) & ~both).sum(),
    }
    return {name: float(value) for name, value in result.items()}


def _per_drug(
    positive: np.ndarray, x: np.ndarray, n: np.ndarray, n_positive: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return AUROC and average precision of each drug, ``(n_drugs,)``; NaN with one class."""
    with np.errstate(invalid="ignore", divide="ignore"):
        u = np.where(positive, ranks(x), 0).sum(axis=0) - n_positive * (n_positive + 1) / 2
        auroc = u / (n_positive * (n - n_positive))
        # Of the lines that score at least as high as a sensitive one, the share of sensitive ones.
        at_least = ranks(x, "max", ascending=False)
        positive_at_least = ranks(np.where(positive, x, np.nan), "max", ascending=False)
        precision = np.where(positive, positive_at_least / at_least, 0).sum(axis=0) / n_positive
    return auroc, precision


def _pooled(positive: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """Return scores over all pairs; NaN with one class."""
    one_class = positive.all() or not positive.any()
    return {
        "auroc": np.nan if one_class else roc_auc_score(positive, score),
        "average_precision": np.nan if one_class else average_precision_score(positive, score),
        "base_rate": positive.mean(),
    }


def drug_synergy(
    observed: ArrayLike, predicted: ArrayLike, *, threshold: float = 30.0
) -> dict[str, float]:
    """Scores of predicted synergy, as values and as synergistic or not.

    Parameters
    ----------
    observed
        Synergy, shape ``(n,)`` or any other; NaN ones do not count.
    predicted
        Predictions of the same shape.
    threshold
        A row is synergistic if it is above; 30 for Loewe synergy as DeepSynergy has it.

    Returns
    -------
    dict
        ``rmse``, ``mse``, ``pearson`` and ``spearman`` (0 for a constant prediction); ``auroc``
        and ``average_precision`` of the prediction as a score of synergistic rows, and their
        ``base_rate`` (the first two NaN with one class); ``n``.

    Raises
    ------
    ValueError
        If shapes differ, nothing is observed, or a prediction is missing.

    Notes
    -----
    Threshold and scores as in Preuer et al. (2018), *DeepSynergy*, Bioinformatics 34, 1538-1546.

    Examples
    --------
    >>> drug_synergy([40.0, 0.0, 10.0], [20.0, 5.0, 6.0])["auroc"]
    1.0
    """
    y, p = check_responses(observed, predicted)
    here = np.isfinite(y)
    y, p = y[here], p[here]
    mse = np.square(p - y).mean()
    result = {
        "rmse": np.sqrt(mse),
        "mse": mse,
        "pearson": pearson(y, p),
        "spearman": pearson(rankdata(y), rankdata(p)),
        **_pooled(y > threshold, p),
        "n": len(y),
    }
    return {name: float(value) for name, value in result.items()}


def binary_labels(
    values: ArrayLike,
    thresholds: ArrayLike | None = None,
    *,
    rule: Rule = "threshold",
    quantile: float = 0.1,
    training: ArrayLike | None = None,
) -> np.ndarray:
    """Call cell lines sensitive or resistant to each drug.

    Parameters
    ----------
    values
        Responses, smaller if more sensitive (ln IC50, AUC), shape ``(n_lines, n_drugs)``, NaN
        where not measured.
    thresholds
        For ``rule="threshold"``: of each drug, in the units of `values`, shape ``(n_drugs,)``;
        NaN for a drug without one.
    rule
        ``"threshold"``: sensitive below the threshold of the drug. ``"quantile"``: below the
        quantile of the responses of training lines to the drug.
    quantile
        Share of sensitive training lines of each drug, between 0 and 1.
    training
        For ``rule="quantile"``: which pairs are of training, bool ``(n_lines, n_drugs)``. It is
        needed, as a quantile of all lines would tell of the test.

    Returns
    -------
    numpy.ndarray
        float64 ``(n_lines, n_drugs)``: 1 sensitive, 0 resistant, NaN where not measured, without a
        threshold, or for a quantile with fewer than 5 training lines of the drug.

    Raises
    ------
    ValueError
        If shapes do not fit, `rule` is unknown, or what it needs is not given.

    Examples
    --------
    >>> binary_labels([[1.0, 2.0], [3.0, np.nan]], [2.0, 1.0])
    array([[ 1.,  0.],
           [ 0., nan]])
    """
    y = np.asarray(values, np.float64)
    check_drugs(y, "values")
    if rule not in get_args(Rule):
        msg = f"Expected `rule` one of {list(get_args(Rule))}, found {rule!r}. Pass one of these."
        raise ValueError(msg)
    if rule == "quantile":
        limits = _quantiles(y, quantile, training)
    elif thresholds is None:
        msg = "Expected `thresholds`, found none. Pass one for each drug, or rule='quantile'."
        raise ValueError(msg)
    else:
        limits = np.asarray(thresholds, np.float64)
    if limits.shape != (y.shape[1],):
        msg = (
            f"Expected `thresholds` of shape ({y.shape[1]},), one for each drug, found "
            f"{limits.shape}. Pass NaN for drugs without one."
        )
        raise ValueError(msg)
    known = np.isfinite(y) & np.isfinite(limits)
    return np.where(known, y < limits, np.nan)


def _quantiles(y: np.ndarray, quantile: float, training: ArrayLike | None) -> np.ndarray:
    """Return the quantile of training values of each drug, ``(n_drugs,)``; NaN with too few."""
    if not 0 < quantile < 1:
        msg = f"Expected `quantile` between 0 and 1, found {quantile}. Pass 0.1."
        raise ValueError(msg)
    if training is None:
        msg = (
            "Expected `training` for rule='quantile', found none. Pass a bool matrix of the pairs "
            "of training, such as `fold.train`."
        )
        raise ValueError(msg)
    mask = np.asarray(training)
    if mask.shape != y.shape or mask.dtype != bool:
        msg = (
            f"Expected `training` to be bool of shape {y.shape}, found {mask.dtype} of shape "
            f"{mask.shape}. Pass a mask of `values`."
        )
        raise ValueError(msg)
    mask = mask & np.isfinite(y)
    enough = mask.sum(axis=0) >= _MIN_TRAINING_LINES
    limits = np.full(y.shape[1], np.nan)
    trained = np.where(mask, y, np.nan)[:, enough]
    limits[enough] = np.nanquantile(trained, quantile, axis=0)
    return limits
