"""Scores of synergy models on left-out rows, beside predictions without features."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from scmomer.metrics import drug_synergy, interval_coverage
from scmomer.tasks.drugs._cell_profiles import ProfileReader
from scmomer.tasks.drugs._checks import check_seeds
from scmomer.tasks.drugs.synergy._fit import FittedSynergy, NewIn, SynergyConfig, fit_synergy, mix
from scmomer.tasks.drugs.synergy._inputs import DrugInputs, Subjects
from scmomer.tasks.drugs.synergy._naive import NaiveKind, NaiveSynergy
from scmomer.tasks.drugs.synergy._noise import SynergyNoise
from scmomer.tasks.drugs.synergy._options import check_choice
from scmomer.tasks.drugs.tables._synergy_splits import SynergyFold, SynergySplit, synergy_folds
from scmomer.tasks.drugs.tables._synergy_table import SynergyTable

logger = logging.getLogger(__name__)

_NEW: dict[SynergySplit, NewIn] = {
    "given": "pairs",
    "pairs": "pairs",
    "drugs": "drugs",
    "lines": "lines",
}
Fitted = Literal["scmomer", "permuted cells", "permuted drugs"]
"""What is fitted beside the naive predictions: the model, or with the features of others."""
ALL_FITTED: tuple[Fitted, ...] = get_args(Fitted)


def check_evaluation(split: str, seeds: object, methods: object) -> None:
    """Raise if options of an evaluation are not as described.

    Raises
    ------
    TypeError
        If `seeds` is no list.
    ValueError
        If `split` is unknown, there are no seeds or wrong ones, or `methods` are unknown or no list.
    """
    check_choice("split", split, SynergySplit)
    check_seeds(seeds)
    if isinstance(methods, str) or not isinstance(methods, Collection):
        msg = (
            f"Expected methods as a list of some of {[*ALL_FITTED]}, found {methods!r}. Pass "
            f"methods=[{methods!r}]."
        )
        raise ValueError(msg)
    if unknown := [m for m in methods if m not in ALL_FITTED]:
        msg = f"Expected methods among {[*ALL_FITTED]}, found {unknown}. Pass some of these."
        raise ValueError(msg)


def evaluate_synergy(
    table: SynergyTable,
    subjects: Subjects,
    config: SynergyConfig,
    *,
    drug_inputs: DrugInputs,
    reader: ProfileReader,
    split: SynergySplit,
    n_folds: int,
    seeds: Sequence[int],
    methods: Sequence[Fitted],
    threshold: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores and predictions as :meth:`scmomer.DrugSynergyModel.evaluate`."""
    scores: list[dict[str, Any]] = []
    predictions: list[pd.DataFrame] = []
    options = {"drug_inputs": drug_inputs, "reader": reader, "new": _NEW[split]}
    for seed in seeds:
        folds = synergy_folds(table, split, n_folds=n_folds, validation_share=0.0, seed=seed)
        for number, fold in enumerate(folds):
            place = {"split": split, "fold": number, "seed": seed}
            for found in _methods(table, fold, subjects, config, methods, seed, **options):
                probability = found.probability(threshold)
                score = found.scores(table.value[fold.test], threshold, probability)
                scores.append({**place, "method": found.method, **score})
                predictions.append(_rows(table, fold.test, found, probability).assign(**place))
                if found.method == "scmomer":
                    logger.info(
                        "Split %s, seed %d, fold %d: r %.3f, AUROC %.3f.",
                        *(split, seed, number, score["pearson"], score["auroc"]),
                    )
    return pd.DataFrame(scores), pd.concat(predictions, ignore_index=True)


@dataclass(frozen=True)
class _Found:
    """Predictions of one method for the rows of a test."""

    method: str
    weight: float
    predicted: np.ndarray
    std: np.ndarray | None = None
    noise: SynergyNoise | None = None

    def probability(self, threshold: float) -> np.ndarray | None:
        """Return probabilities ``(n,)`` of synergy above a threshold; None of a naive method."""
        if self.noise is None:
            return None
        return self.noise.probability(self.predicted, threshold)

    def scores(
        self, observed: np.ndarray, threshold: float, probability: np.ndarray | None
    ) -> dict[str, float]:
        """Return scores; the ranks of probabilities go before those of predictions."""
        found = drug_synergy(observed, self.predicted, threshold=threshold)
        if probability is not None and self.std is not None:
            labels = np.where(observed > threshold, 1.0, 0.0)
            ranked = drug_synergy(labels, probability, threshold=0.5)
            found |= {name: ranked[name] for name in ("auroc", "average_precision")}
            found["brier"] = ranked["mse"]
            found["coverage"] = interval_coverage(observed, self.predicted, self.std)
        return {"weight": self.weight, **found}


def _rows(
    table: SynergyTable, test: np.ndarray, found: _Found, probability: np.ndarray | None
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": found.method,
            "drug_a": table.drugs[table.drug_a[test]],
            "drug_b": table.drugs[table.drug_b[test]],
            "cell_line": table.lines[table.line[test]],
            "observed": table.value[test],
            "predicted": found.predicted,
            "std": np.nan if found.std is None else found.std,
            "probability": np.nan if probability is None else probability,
        }
    )


def _methods(
    table: SynergyTable,
    fold: SynergyFold,
    subjects: Subjects,
    config: SynergyConfig,
    methods: Sequence[Fitted],
    seed: int,
    **options: Any,
) -> Iterator[_Found]:
    """Yield the predictions of each method for one fold."""
    triples = np.stack([table.drug_a, table.drug_b, table.line], axis=1)
    # Of given folds, one is validation; here it is for training, and validation is cut from it.
    train = np.sort(np.concatenate([fold.train, fold.validation]))
    sizes = len(table.drugs), len(table.lines)
    for kind in get_args(NaiveKind):
        naive = NaiveSynergy.fit(
            triples[train], table.value[train], *sizes, kind, alpha=config.alpha
        )
        yield _Found(kind, 0.0, naive.predict(triples[fold.test]))

    def fit(features: Subjects) -> tuple[FittedSynergy, np.ndarray, np.ndarray]:
        fitted = fit_synergy(table, train, features, config, seed=seed, **options)
        return fitted, *fitted.predict_parts(features, triples[fold.test])

    def mixed(
        method: str, fitted: FittedSynergy, naively: np.ndarray, networks: np.ndarray
    ) -> _Found:
        predicted, spread = mix(naively, networks, fitted.weight)
        std = fitted.noise.std(predicted, spread)
        return _Found(method, fitted.weight, predicted, std, fitted.noise)

    for method in methods:
        if method == "scmomer":
            found = fit(subjects)
            yield _Found("networks", 1.0, found[2].mean(axis=0))
        else:
            what: Literal["cells", "drugs"] = "cells" if method == "permuted cells" else "drugs"
            found = fit(subjects.with_permuted(what, seed))
        yield mixed(method, *found)
