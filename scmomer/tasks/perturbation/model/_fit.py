"""Fit: settings and methods by held-out training perturbations, then all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from scmomer.data import warn
from scmomer.tasks.perturbation.graph._knowledge import Knowledge
from scmomer.tasks.perturbation.model._candidates import additive_weights, mean_weights
from scmomer.tasks.perturbation.model._context import Contexts, choose_range, in_context
from scmomer.tasks.perturbation.model._design import Design, Parts
from scmomer.tasks.perturbation.model._fitted import FittedPerturbation
from scmomer.tasks.perturbation.model._kernel import KernelSmoother, relative_noise
from scmomer.tasks.perturbation.model._network_inputs import network_inputs
from scmomer.tasks.perturbation.model._validation import (
    Held,
    Rows,
    Weights,
    better,
    choose_settings,
    compare,
    held_out_folds,
    join,
)
from scmomer.tasks.perturbation.network._network import PerturbationNetwork
from scmomer.tasks.perturbation.network._train import apply_network, train_network
from scmomer.tasks.perturbation.screen._effects import Effects
from scmomer.tasks.perturbation.screen._gene_names import own_genes

logger = logging.getLogger(__name__)

METHODS: Final = ("kernel", "mean", "additive", "network")
_NETWORK_FOLDS: Final = 5
_SURE: Final = 1.0
_PRIOR_ROWS: Final = 5.0
_MIN_HELD: Final = 3  # held-out rows for a standard deviation of their own
_LEAST_NOISE: Final = 0.02  # of a gene, relative to the mean gene
_TINY: Final = 1e-12


@dataclass(frozen=True)
class FitOptions:
    """How to fit."""

    method: str
    """One of `METHODS`, or ``"auto"``."""
    network: bool
    """Whether ``"auto"`` tries the network."""
    seed: int
    epochs: int


@dataclass(frozen=True)
class _Trial:
    """A method on held-out rows."""

    held: Held
    misses: np.ndarray
    """Observed minus predicted, ``(n_held_out, n_genes)``."""


def fit_effects(
    effects: Effects,
    knowledge: Knowledge,
    contexts: Contexts,
    options: FitOptions,
    *,
    target_sum: float,
    model_id: str | None = None,
) -> FittedPerturbation:
    """Fit to pseudobulk changes; see :class:`PerturbationModel`."""
    rows = _rows(effects, effects.change, effects.variance, effects.parts)
    contexts, held_groups, group_misses = choose_range(
        rows, effects.parts, effects.groups, contexts
    )
    table: list[dict[str, Any]] = []
    spread = {"group": _spread(group_misses, effects.variance)}
    if held_groups is not None:
        table.append(_row("group", "other groups", held_groups))
    weight = dict.fromkeys(contexts.names, 1.0)
    parts, changes, noise = in_context(
        effects.change, effects.variance, effects.parts, effects.groups, weight
    )
    if len(contexts.names) == 1:
        _warn_few(parts)
    knowledge.warn_if_useless(sorted({name for part in parts for name in part}))
    rows = _rows(effects, changes, noise, parts)
    design = Design.of(parts, knowledge)
    smoother = KernelSmoother(design, changes, relative_noise(noise))
    settings = choose_settings(smoother, rows)

    def kernel(train: np.ndarray, query: np.ndarray) -> np.ndarray:
        return smoother.weights(train, query, [settings])[0]

    linear: dict[str, Weights] = {
        "kernel": kernel,
        "mean": lambda train, query: mean_weights(design, train, query),
        "additive": lambda train, query: additive_weights(design, train, query),
    }
    methods, parts_of = {}, {"single": design.single, "combination": ~design.single}
    for kind, mask in parts_of.items():
        trials = _trials(
            kind, design, rows, np.flatnonzero(mask), linear, options, effects, knowledge
        )
        methods[kind] = _chosen(trials, options)
        table += [_row(kind, name, trial.held) for name, trial in trials.items()]
        misses = trials[methods[kind]].misses if methods[kind] in trials else np.zeros((0, 0))
        spread[kind] = _spread(misses, noise)
        if kind == "combination" and len(misses) < _MIN_HELD:
            spread[kind] = 2 * spread["single"]  # errors of parts add up
    found = pd.DataFrame(table, columns=_COLUMNS)
    found["chosen"] = [
        methods.get(k) == m for k, m in zip(found["kind"], found["method"], strict=True)
    ]
    network = None
    if "network" in methods.values() or options.method == "network":
        network = _network(design, rows, np.arange(len(parts)), knowledge, effects, options)
    logger.info(
        "Trained on %d perturbations: %s predicts new single ones, %s combinations.",
        *(len(parts), methods["single"], methods["combination"]),
    )
    return FittedPerturbation(
        effects=effects,
        target_sum=target_sum,
        knowledge=knowledge,
        settings=settings,
        methods=methods,
        network=network,
        contexts=contexts,
        spread=spread,
        validation=found,
        model_id=model_id,
    )


_COLUMNS: Final = ["kind", "method", "n", "correlation", "error", "standard_error"]


def _row(kind: str, method: str, held: Held) -> dict[str, Any]:
    n = len(held.row)
    error = float(held.agreement.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    values = (kind, method, n, float(held.agreement.mean()), float(held.error.mean()), error)
    return dict(zip(_COLUMNS, values, strict=True))


def _rows(
    effects: Effects, changes: np.ndarray, variance: np.ndarray, parts: Sequence[Parts]
) -> Rows:
    """Return changes, the noise that they share, and which genes are scored."""
    table = effects.table
    n_cells, n_control = (table[c].to_numpy(np.float64) for c in ("n_cells", "n_control"))
    # Cells of both vary alike: the share of the control mean is that of the perturbed cells.
    share = (n_cells / np.maximum(n_cells + n_control, 1))[:, None]
    shared = (effects.variance * share).mean(axis=0) / max(len(set(effects.groups)), 1)
    return Rows(changes, variance, shared, ~own_genes(parts, effects.genes))


def _trials(
    kind: str,
    design: Design,
    rows: Rows,
    some: np.ndarray,
    linear: dict[str, Weights],
    options: FitOptions,
    effects: Effects,
    knowledge: Knowledge,
) -> dict[str, _Trial]:
    """Return each method on held-out rows of a kind; none if too few can be held out."""
    folds = held_out_folds(design, some)
    trials = {}
    names = [m for m in linear if kind == "combination" or m != "additive"]
    for name in names:
        held, misses = [], []
        for query, train in folds:
            weights = linear[name](train, query)
            predicted = weights @ rows.changes[train]
            held.append(compare(rows, query, predicted, weights.sum(axis=1)))
            misses.append(rows.changes[query] - predicted)
        if held:
            trials[name] = _Trial(join(held), np.concatenate(misses))
    tried = options.method == "network" or (options.method == "auto" and options.network)
    enough = len(folds) and len(some) >= _NETWORK_FOLDS
    if tried and enough and design.features.in_graph.any():
        trials["network"] = _network_trial(design, rows, some, knowledge, effects, options)
    return trials


def _network(
    design: Design,
    rows: Rows,
    train: np.ndarray,
    knowledge: Knowledge,
    effects: Effects,
    options: FitOptions,
) -> PerturbationNetwork:
    changes = rows.changes[train]
    return train_network(
        network_inputs(design, knowledge, effects),
        design.incidence[train],
        changes,
        changes.mean(axis=0),
        seed=options.seed,
        epochs=options.epochs,
    )


def _network_trial(
    design: Design,
    rows: Rows,
    some: np.ndarray,
    knowledge: Knowledge,
    effects: Effects,
    options: FitOptions,
) -> _Trial:
    """Return the network on rows that are held out in folds; the same rows in the same order."""
    inputs = network_inputs(design, knowledge, effects)
    order = np.random.default_rng(options.seed).permutation(some)
    predicted = np.zeros((len(design.parts), rows.changes.shape[1]))
    for query in np.array_split(order, _NETWORK_FOLDS):
        train = np.setdiff1d(np.arange(len(design.parts)), query)
        for row in query[design.single[query]]:
            train = train[~design.shares(row)[train]]
        if not len(train):
            continue
        network = _network(design, rows, train, knowledge, effects, options)
        mean = rows.changes[train].mean(axis=0)
        predicted[query] = mean + apply_network(network, inputs, design.incidence[query])
    rows_of = np.concatenate([query for query, _ in held_out_folds(design, some)])
    held = compare(rows, rows_of, predicted[rows_of], np.ones(len(rows_of)))
    return _Trial(held, rows.changes[rows_of] - predicted[rows_of])


def _chosen(trials: dict[str, _Trial], options: FitOptions) -> str:
    """Return the method; of ``"auto"`` another one than the kernel only if it is surely better."""
    if options.method != "auto":
        return options.method
    if not trials:
        return "kernel"
    names = list(trials)
    return names[better([trials[n].held for n in names], names.index("kernel"), _SURE)]


def _spread(misses: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the variance of errors of each gene, shrunk to a multiple of the noise of the gene."""
    noise = variance.mean(axis=0)
    # Genes that no training cell expresses are not certain to stay silent.
    noise = np.maximum(noise, _LEAST_NOISE * noise.mean() + _TINY)
    if len(misses) < _MIN_HELD:
        return 2 * noise
    squares = (misses**2).mean(axis=0)
    prior = noise * squares.sum() / noise.sum()
    n = len(misses)
    return (n * squares + _PRIOR_ROWS * prior) / (n + _PRIOR_ROWS)


def _warn_few(parts: Sequence[Parts]) -> None:
    if len(parts) == 1:
        warn(
            f"There is one perturbation, {'+'.join(parts[0])!r}: predictions of others are its "
            "change. Train on a screen with several."
        )
