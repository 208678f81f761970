"""Evaluation of response: naive predictors, the model and its ablations on the same folds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from scipy.stats import norm

from scmomer import metrics
from scmomer.tasks.drugs._checks import check_seeds
from scmomer.tasks.drugs.molecules._molecules import Molecules
from scmomer.tasks.drugs.response._fit import fit_response
from scmomer.tasks.drugs.response._naive import naive_predictions
from scmomer.tasks.drugs.response._predicted import Predicted
from scmomer.tasks.drugs.response._published import fit_published
from scmomer.tasks.drugs.response._settings import ResponseSettings
from scmomer.tasks.drugs.tables._splits import Fold, NFolds, ResponseSplit, folds

_SENSITIVITY: Final = (
    *("drug_auroc", "drug_average_precision", "drug_base_rate"),
    *("auroc", "average_precision", "base_rate"),
)
ABLATIONS: Final = ("cells permuted", "drugs permuted", "published")


@dataclass(frozen=True)
class EvaluationData:
    """What is split."""

    values: np.ndarray
    """``(n_lines, n_drugs)``, NaN where not measured."""
    blocks: list[np.ndarray]
    """Features of the lines that the model reads."""
    expression: np.ndarray | None
    """For ridge regression, ``(n_lines, n_genes)``."""
    molecules: Molecules
    tissues: np.ndarray | None
    thresholds: np.ndarray | None = None
    """Below which a line is sensitive, ``(n_drugs,)``."""


def check_evaluation(seeds: Sequence[int], ablations: Sequence[str]) -> None:
    """Raise unless seeds are whole numbers and ablations are known."""
    check_seeds(seeds)
    if isinstance(ablations, str) or not isinstance(ablations, Iterable):
        msg = f"Expected ablations as a list, found {ablations!r}. Pass ablations=[{ablations!r}]."
        raise TypeError(msg)
    if unknown := sorted(set(ablations) - set(ABLATIONS)):
        msg = f"Expected ablations among {list(ABLATIONS)}, found {unknown}. Choose some of these."
        raise ValueError(msg)


def evaluate_response(
    data: EvaluationData,
    settings: ResponseSettings,
    *,
    split: ResponseSplit,
    n_folds: NFolds = 5,
    test_share: float | None = None,
    seeds: Sequence[int] = (0,),
    ablations: Sequence[str] = (),
    per_drug: bool = False,
) -> pd.DataFrame:
    """Return a row of metrics for each seed, fold and method, or for each drug of these."""
    parts: list[pd.DataFrame] = []
    for seed in seeds:
        made = folds(
            data.values,
            split,
            n_folds=n_folds,
            test_share=test_share,
            groups=data.molecules.group,
            tissues=data.tissues,
            seed=seed,
        )
        for number, fold in enumerate(made):
            for method, found, weights in _predictions(
                data, replace(settings, seed=seed), fold, ablations
            ):
                head = {"split": split, "seed": seed, "fold": number, "method": method}
                scored = (
                    _scores_per_drug(data, fold, found)
                    if per_drug
                    else pd.DataFrame([{**_scores(data, fold, found), **weights}])
                )
                parts.append(pd.DataFrame(head, index=scored.index).join(scored))
    return pd.concat(parts, ignore_index=True)


def _predictions(
    data: EvaluationData, settings: ResponseSettings, fold: Fold, ablations: Sequence[str]
) -> Iterator[tuple[str, Predicted | np.ndarray, dict[str, float]]]:
    known = fold.train | fold.validation
    train = np.where(known, data.values, np.nan)
    naive = naive_predictions(
        train, expression=data.expression, molecules=data.molecules, tissues=data.tissues
    )
    for name, found in naive.items():
        yield name, found, {}
    yield from _ours("scmomer", data, train, settings)
    if "cells permuted" in ablations:
        order = np.random.default_rng(settings.seed).permutation(len(train))
        moved = replace(data, blocks=[x[order] for x in data.blocks])
        yield from _ours("cells permuted", moved, train, settings)
    if "drugs permuted" in ablations:
        order = np.random.default_rng(settings.seed).permutation(len(data.molecules))
        names = data.molecules.names
        moved = replace(data, molecules=data.molecules.take(names[order]).renamed(names))
        yield from _ours("drugs permuted", moved, train, settings)
    if "published" in ablations:
        lines, drugs = known.any(1), known.any(0)
        fitted = fit_published(
            train[np.ix_(lines, drugs)],
            fold.validation[np.ix_(lines, drugs)],
            [x[lines] for x in data.blocks],
            data.molecules.take(data.molecules.names[drugs]),
            settings,
        )
        new = np.full(len(train), -1)
        yield (
            "published network",
            fitted.predict(fitted.standardize(data.blocks), new, data.molecules),
            {},
        )


def _ours(
    name: str, data: EvaluationData, train: np.ndarray, settings: ResponseSettings
) -> Iterator[tuple[str, Predicted | np.ndarray, dict[str, float]]]:
    lines, drugs = (np.isfinite(train).any(axis) for axis in (1, 0))
    fitted = fit_response(
        train[np.ix_(lines, drugs)],
        [x[lines] for x in data.blocks],
        data.molecules.take(data.molecules.names[drugs]),
        settings,
        for_new_drugs=not drugs.all(),
    )
    number = np.where(lines, np.cumsum(lines) - 1, -1)
    found = fitted.predict(fitted.standardize(data.blocks), number, data.molecules)
    weights = {"cell_network": fitted.cell_weight, "drug_network": fitted.drug_weight}
    yield name, found, weights
    if name == "scmomer":
        yield "scmomer, no network", found.naive, {}


def _scores(data: EvaluationData, fold: Fold, found: Predicted | np.ndarray) -> dict[str, float]:
    mean = found.mean if isinstance(found, Predicted) else found
    observed = np.where(fold.test, data.values, np.nan)
    train = np.where(fold.train | fold.validation, data.values, np.nan)
    drug_means = _drug_means(train)
    scores: dict[str, float] = dict(metrics.drug_response(observed, mean, drug_means=drug_means))
    if isinstance(found, Predicted):
        scores["coverage"] = metrics.interval_coverage(observed, found.mean, found.std)
    if data.thresholds is not None:
        sensitive = metrics.binary_labels(observed, data.thresholds)
        if isinstance(found, Predicted):
            score = norm.cdf((data.thresholds - found.mean) / found.std)
        else:
            score = data.thresholds - mean
        scores |= dict.fromkeys(_SENSITIVITY, np.nan)
        if np.isfinite(sensitive).any():  # a fold may have no drug with a threshold
            scored = metrics.drug_sensitivity(sensitive, np.where(np.isfinite(score), score, 0.0))
            scores |= {name: scored[name] for name in _SENSITIVITY}
    return scores


def _scores_per_drug(
    data: EvaluationData, fold: Fold, found: Predicted | np.ndarray
) -> pd.DataFrame:
    mean = found.mean if isinstance(found, Predicted) else found
    observed = np.where(fold.test, data.values, np.nan)
    scores = metrics.drug_response_per_drug(observed, mean)
    scores.insert(0, "drug", data.molecules.names[scores.index])
    return scores


def _drug_means(train: np.ndarray) -> np.ndarray:
    """Return the mean of each drug in training; the mean of all for a new drug."""
    here = np.isfinite(train)
    n = here.sum(0)
    total = train[here].mean()
    return np.where(n > 0, np.where(here, train, 0).sum(0) / np.maximum(n, 1), total)
