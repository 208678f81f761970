"""Scores of synergy models on left-out rows, beside predictions without features."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from scmomer.metrics import drug_synergy, interval_coverage
from scmomer.tasks.drugs._synergy_cells import CellInputs
from scmomer.tasks.drugs._synergy_fit import FittedSynergy, NewIn, SynergyConfig, fit_synergy, mix
from scmomer.tasks.drugs._synergy_inputs import DrugInputs, Subjects
from scmomer.tasks.drugs._synergy_naive import NaiveKind, NaiveSynergy
from scmomer.tasks.drugs._synergy_splits import SynergyFold, SynergySplit, synergy_folds
from scmomer.tasks.drugs._synergy_table import SynergyTable

logger = logging.getLogger(__name__)

_NEW: dict[SynergySplit, NewIn] = {
    "given": "pairs",
    "pairs": "pairs",
    "drugs": "drugs",
    "lines": "lines",
}
_PERMUTED: tuple[Literal["cells", "drugs"], ...] = ("cells", "drugs")


def evaluate_synergy(
    table: SynergyTable,
    subjects: Subjects,
    config: SynergyConfig,
    *,
    drug_inputs: DrugInputs,
    cell_inputs: CellInputs,
    split: SynergySplit,
    n_folds: int,
    seeds: Sequence[int],
    permuted: bool,
    threshold: float,
) -> pd.DataFrame:
    """Return scores as :meth:`scmomer.DrugSynergyModel.evaluate`."""
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        folds = synergy_folds(table, split, n_folds=n_folds, validation_share=0.0, seed=seed)
        for number, fold in enumerate(folds):
            for method, found in _methods(
                table,
                fold,
                subjects,
                permuted,
                seed,
                config=config,
                drug_inputs=drug_inputs,
                cell_inputs=cell_inputs,
                new=_NEW[split],
                threshold=threshold,
            ):
                place = {"split": split, "method": method, "fold": number, "seed": seed}
                rows.append(place | found)
            ours = next(r for r in reversed(rows) if r["method"] == "scmomer")
            logger.info(
                "split %s, seed %d, fold %d: r %.3f, AUROC %.3f.",
                *(split, seed, number, ours["pearson"], ours["auroc"]),
            )
    return pd.DataFrame(rows)


def _methods(
    table: SynergyTable,
    fold: SynergyFold,
    subjects: Subjects,
    permuted: bool,
    seed: int,
    *,
    threshold: float,
    config: SynergyConfig,
    **options: Any,
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the name and the scores of each method, of one fold."""
    triples = np.stack([table.drug_a, table.drug_b, table.line], axis=1)
    # Of given folds, one is validation; here it is for training, and validation is cut from it.
    train = np.sort(np.concatenate([fold.train, fold.validation]))
    observed = table.value[fold.test]
    sizes = len(table.drugs), len(table.lines)
    for kind in get_args(NaiveKind):
        naive = NaiveSynergy.fit(
            triples[train], table.value[train], *sizes, kind, alpha=config.alpha
        )
        predicted = naive.predict(triples[fold.test])
        yield kind, {"weight": 0.0, **drug_synergy(observed, predicted, threshold=threshold)}

    def fit(features: Subjects) -> tuple[FittedSynergy, np.ndarray, np.ndarray]:
        fitted = fit_synergy(table, train, features, config, seed=seed, model_id=None, **options)
        return fitted, *fitted.predict_parts(features, triples[fold.test])

    fitted, naively, networks = fit(subjects)
    scores = drug_synergy(observed, networks.mean(axis=0), threshold=threshold)
    yield "networks", {"weight": 1.0, **scores}
    yield "scmomer", _scores(observed, fitted, naively, networks, threshold)
    for what in _PERMUTED if permuted else ():
        other = subjects.with_permuted(what, seed)
        yield f"permuted {what}", _scores(observed, *fit(other), threshold)


def _scores(
    observed: np.ndarray,
    fitted: FittedSynergy,
    naive: np.ndarray,
    networks: np.ndarray,
    threshold: float,
) -> dict[str, float]:
    predicted, spread = mix(naive, networks, fitted.weight)
    std = fitted.noise.std(predicted, spread)
    probability = fitted.noise.probability(predicted, std, threshold)
    labels = np.where(observed > threshold, 1.0, 0.0)
    ranked = drug_synergy(labels, probability, threshold=0.5)
    return {
        "weight": fitted.weight,
        **drug_synergy(observed, predicted, threshold=threshold),
        "auroc": ranked["auroc"],
        "average_precision": ranked["average_precision"],
        "brier": ranked["mse"],
        "coverage": interval_coverage(observed, predicted, std),
    }
