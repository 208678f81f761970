"""How well responses of cell lines to drugs are predicted: drug by drug first, then pooled."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm

from scmomer.metrics._correlation import pearson_columns


def drug_response(
    observed: ArrayLike,
    predicted: ArrayLike,
    *,
    drug_means: ArrayLike | None = None,
    baseline: ArrayLike | None = None,
    min_lines: int = 5,
) -> dict[str, float]:
    r"""Scores of predicted responses, within drugs and over all pairs.

    Most of the variance of ln IC50 is between drugs, so that the correlation over all pairs is
    high (0.83 on 170 drugs of GDSC) for the mean of each drug, which says nothing about cell lines.
    Read the scores within drugs first:

    .. math::

        \bar r = \frac{1}{|D|} \sum_{d \in D} r(y_{\cdot d}, \hat y_{\cdot d}), \qquad
        D = \{d : d \text{ has at least min_lines test lines}\}

    with r = 0 where the observed or the predicted responses of a drug are constant.

    Parameters
    ----------
    observed
        Responses, shape ``(n_lines, n_drugs)``, NaN for pairs that are not in the test.
    predicted
        Predictions, shape ``(n_lines, n_drugs)``, finite for each pair of the test.
    drug_means
        Mean response of each drug in training, shape ``(n_drugs,)``, for
        ``normalized_pearson``: it is subtracted from observed and predicted responses. By default
        each drug has its own test mean subtracted, separately from observed and predicted ones;
        so has a drug whose mean is NaN, as it is new.
    baseline
        Predictions to compare with, as `predicted`.
    min_lines
        Drugs with fewer test lines are left out of the scores within drugs, not of the others.

    Returns
    -------
    dict
        ``drug_pearson``, ``drug_pearson_median`` and ``drug_spearman``: mean and median over
        drugs of the correlation over lines; ``share_above_baseline`` (with `baseline`): drugs
        whose Pearson correlation is higher than that of the baseline; ``rmse`` and ``r2`` over
        all pairs; ``normalized_pearson``: over all pairs, without the mean of drugs; ``pearson``:
        over all pairs; ``n_pairs``, ``n_drugs`` scored and ``n_drugs_left_out``. Correlations are
        NaN if no drug has enough lines.

    Raises
    ------
    ValueError
        If shapes differ, nothing is observed, or a pair of the test has no prediction.

    Notes
    -----
    Scores as in DrEval (Bernett et al. 2026), where the normalized correlation is that of
    residuals.

    Examples
    --------
    >>> observed = np.array([[1.0, 5.0], [2.0, 6.0], [3.0, np.nan]])
    >>> drug_response(observed, observed, min_lines=2)["drug_pearson"]
    1.0
    """
    y, p = check_responses(observed, predicted)
    per_drug = _per_drug(y, p, baseline, min_lines)
    scored = per_drug.loc[per_drug["pearson"].notna()]
    here = np.isfinite(y)
    errors = (p - y)[here]
    total = np.square(y[here] - y[here].mean()).sum()
    result = {
        "drug_pearson": scored["pearson"].mean(),
        "drug_pearson_median": scored["pearson"].median(),
        "drug_spearman": scored["spearman"].mean(),
    }
    if baseline is not None:
        higher = scored["pearson_minus_baseline"] > 0
        result["share_above_baseline"] = higher.mean() if len(scored) else np.nan
    result |= {
        "rmse": np.sqrt(np.square(errors).mean()),
        "r2": 1 - np.square(errors).sum() / total if total > 0 else np.nan,
        "normalized_pearson": pearson(*_centered(y, p, drug_means)),
        "pearson": pearson(y[here], p[here]),
        "n_pairs": here.sum(),
        "n_drugs": len(scored),
        "n_drugs_left_out": int((per_drug["n"] > 0).sum()) - len(scored),
    }
    return {name: float(value) for name, value in result.items()}


def drug_response_per_drug(
    observed: ArrayLike,
    predicted: ArrayLike,
    *,
    baseline: ArrayLike | None = None,
    min_lines: int = 5,
) -> pd.DataFrame:
    """Scores of predicted responses of each drug, over its test lines.

    Parameters
    ----------
    observed
        Responses, shape ``(n_lines, n_drugs)``, NaN for pairs that are not in the test. Names of
        the columns of a DataFrame are the index of the result.
    predicted
        Predictions, shape ``(n_lines, n_drugs)``, finite for each pair of the test.
    baseline
        Predictions to compare with, as `predicted`.
    min_lines
        Drugs with fewer test lines have NaN correlations.

    Returns
    -------
    pandas.DataFrame
        A row for each drug: ``n`` test lines, ``pearson`` and ``spearman`` in [-1, 1] (0 if
        constant), ``rmse`` (NaN without test lines), and with `baseline`
        ``pearson_minus_baseline``.

    Raises
    ------
    ValueError
        If shapes differ, nothing is observed, or a pair of the test has no prediction.

    Examples
    --------
    >>> drug_response_per_drug(table.frame, predicted).sort_values("pearson")
    """
    y, p = check_responses(observed, predicted)
    per_drug = _per_drug(y, p, baseline, min_lines)
    if isinstance(observed, pd.DataFrame):
        per_drug.index = observed.columns
    return per_drug


def interval_coverage(
    observed: ArrayLike, mean: ArrayLike, std: ArrayLike, *, level: float = 0.9
) -> float:
    r"""Share of observed values within the predicted interval.

    The interval is that of a normal distribution, :math:`\mu \pm z \sigma` with
    :math:`z = \Phi^{-1}((1 + \mathrm{level}) / 2)`.

    Parameters
    ----------
    observed
        Values of any shape; NaN ones do not count.
    mean, std
        Predicted mean and standard deviation, of the shape of `observed`.
    level
        Share of values that the interval should have, between 0 and 1.

    Returns
    -------
    A value in [0, 1]; near `level` if the standard deviations are calibrated.

    Raises
    ------
    ValueError
        If shapes differ, nothing is observed, a prediction is missing, a standard deviation is
        negative, or `level` is not between 0 and 1.

    Examples
    --------
    >>> interval_coverage([0.0, 5.0], [0.0, 0.0], [1.0, 1.0])
    0.5
    """
    if not 0 < level < 1:
        msg = f"Expected `level` between 0 and 1, found {level}. Pass 0.9 for a 90 % interval."
        raise ValueError(msg)
    y, m = check_responses(observed, mean, ("observed", "mean"))
    s = check_responses(observed, std, ("observed", "std"))[1]
    here = np.isfinite(y)
    if (s[here] < 0).any():
        msg = (
            f"Expected `std` to be 0 or more, found {s[here].min():.3g}. Pass standard deviations."
        )
        raise ValueError(msg)
    return float((np.abs(y - m)[here] <= norm.ppf((1 + level) / 2) * s[here]).mean())


def check_responses(
    observed: ArrayLike, predicted: ArrayLike, names: tuple[str, str] = ("observed", "predicted")
) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64, predictions NaN where nothing is observed.

    Raises
    ------
    ValueError
        If shapes differ, nothing is observed, or a prediction is missing.
    """
    y, p = np.asarray(observed, np.float64), np.asarray(predicted, np.float64)
    if y.shape != p.shape:
        msg = (
            f"Expected `{names[1]}` to have the shape of `{names[0]}`, {y.shape}, found {p.shape}. "
            "Pass predictions for the same lines and drugs."
        )
        raise ValueError(msg)
    here = np.isfinite(y)
    if not here.any():
        msg = (
            f"Expected values in `{names[0]}`, found none that is finite. Pass responses of the "
            "test."
        )
        raise ValueError(msg)
    if n := int((here & ~np.isfinite(p)).sum()):
        msg = (
            f"Expected a finite value in `{names[1]}` for each observed one, found {n} of "
            f"{here.sum()} missing or infinite. Set those of `{names[0]}` to NaN to leave them out."
        )
        raise ValueError(msg)
    return np.where(here, y, np.nan), np.where(here, p, np.nan)


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Return the Pearson correlation of two vectors ``(n,)``, 0 if one is constant."""
    return float(pearson_columns(x[:, None], y[:, None])[0])


def check_drugs(matrix: np.ndarray, name: str = "observed") -> None:
    """Raise if it is no matrix of lines and drugs."""
    if matrix.ndim != 2:
        msg = f"Expected `{name}` of shape (n_lines, n_drugs), found {matrix.shape}. Pass a matrix."
        raise ValueError(msg)


def _per_drug(
    y: np.ndarray, p: np.ndarray, baseline: ArrayLike | None, min_lines: int
) -> pd.DataFrame:
    """Return scores of each drug from matrices with the same NaN, see drug_response_per_drug."""
    check_drugs(y)
    n = np.isfinite(y).sum(axis=0)
    enough = n >= max(min_lines, 2)
    error = np.divide(
        np.nansum(np.square(p - y), axis=0), n, out=np.full(len(n), np.nan), where=n > 0
    )
    result = pd.DataFrame(
        {
            "n": n,
            "pearson": np.where(enough, _pearson_by_drug(y, p), np.nan),
            "spearman": np.where(enough, _pearson_by_drug(ranks(y), ranks(p)), np.nan),
            "rmse": np.sqrt(error),
        }
    )
    if baseline is not None:
        b = check_responses(y, baseline, ("observed", "baseline"))[1]
        result["pearson_minus_baseline"] = result["pearson"] - _pearson_by_drug(y, b)
    return result


def ranks(values: np.ndarray, method: str = "average", ascending: bool = True) -> np.ndarray:
    """Return ranks within columns, from 1, NaN where a value is NaN."""
    return pd.DataFrame(values).rank(method=method, ascending=ascending).to_numpy()  # type: ignore[arg-type]


def _pearson_by_drug(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the correlation of each pair of columns over rows that are not NaN, ``(n_drugs,)``."""
    here = np.isfinite(x)
    constant = np.zeros(x.shape[1], bool)
    centered = []
    for values in (x, y):
        n = np.maximum(here.sum(axis=0), 1)
        # NaN as the mean adds nothing to sums; a column is constant if it has one value.
        mean = np.where(here, values, 0).sum(axis=0) / n
        centered.append(np.where(here, values - mean, 0))
        low = np.where(here, values, np.inf).min(axis=0)
        constant |= low >= np.where(here, values, -np.inf).max(axis=0)
    a, b = centered
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (a * b).sum(axis=0) / np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return np.where(constant | ~np.isfinite(r), 0.0, r).clip(-1, 1)


def _centered(
    y: np.ndarray, p: np.ndarray, drug_means: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs without the mean of their drug, each ``(n_pairs,)``."""
    here = np.isfinite(y)
    n = np.maximum(here.sum(axis=0), 1)
    own = [np.where(here, values, 0).sum(axis=0) / n for values in (y, p)]
    if drug_means is not None:
        given = np.asarray(drug_means, np.float64)
        if given.shape != (y.shape[1],):
            msg = (
                f"Expected `drug_means` of shape ({y.shape[1]},), one for each drug, found "
                f"{given.shape}. Pass `numpy.nanmean(training, axis=0)`."
            )
            raise ValueError(msg)
        own = [np.where(np.isfinite(given), given, mean) for mean in own]
    # Rounding must not turn the mean of each drug into a prediction that varies.
    y_left, p_left = ((values - mean)[here] for values, mean in zip((y, p), own, strict=True))
    scale = 1e-12 * np.abs(p[here]).max()
    return y_left, np.where(np.abs(p_left) < scale, 0.0, p_left)
