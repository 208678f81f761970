"""What a trained model consists of, and its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd

from scmomer.tasks.perturbation.graph._knowledge import Knowledge
from scmomer.tasks.perturbation.model._candidates import additive_weights, mean_weights
from scmomer.tasks.perturbation.model._context import Contexts, in_context
from scmomer.tasks.perturbation.model._design import Design, Parts
from scmomer.tasks.perturbation.model._kernel import KernelSettings, KernelSmoother, relative_noise
from scmomer.tasks.perturbation.model._network_inputs import network_inputs
from scmomer.tasks.perturbation.network._network import PerturbationNetwork
from scmomer.tasks.perturbation.network._train import apply_network
from scmomer.tasks.perturbation.screen._effects import Effects

Kind = Literal["single", "combination", "group"]
KINDS: Final[tuple[Kind, ...]] = ("single", "combination", "group")
_TINY: Final = 1e-12


@dataclass(frozen=True)
class FittedPerturbation:
    """A trained model."""

    effects: Effects
    """Training changes."""
    target_sum: float
    """Total to which counts of cells were scaled."""
    knowledge: Knowledge
    settings: KernelSettings
    methods: dict[str, str]
    """Method for each kind of prediction, ``"single"`` and ``"combination"``."""
    network: PerturbationNetwork | None
    contexts: Contexts
    spread: dict[str, np.ndarray]
    """Variance of the error of each gene by kind of prediction, ``(n_genes,)``."""
    validation: pd.DataFrame
    """Agreement with held-out training perturbations, by kind and method."""
    model_id: str | None
    """Of the embedding model."""

    def predict(
        self,
        parts: Sequence[Parts],
        groups: Sequence[str],
        values: dict[str, np.ndarray] | None = None,
        method: str | None = None,
    ) -> Predicted:
        """Predict changes and their standard deviations.

        Parameters
        ----------
        parts
            Parts of each perturbation, in alphabetical order.
        groups
            Group of each, ``""`` without groups.
        values
            Unperturbed profiles or embeddings of groups that are not in training, ``(dim,)`` each.
        method
            A method for all, in place of the chosen ones.
        """
        n, genes = len(parts), len(self.effects.genes)
        change, variance = np.zeros((n, genes)), np.zeros((n, genes))
        names = np.empty(n, dtype=object)
        for group in dict.fromkeys(groups):
            here = np.array([i for i, g in enumerate(groups) if g == group])
            value = (values or {}).get(group)
            found = self._in_group(group, [parts[i] for i in here], value, method)
            change[here], variance[here], names[here] = found.change, found.variance, found.method
        return Predicted(change, variance, names)

    def _in_group(
        self, group: str, parts: list[Parts], value: np.ndarray | None, method: str | None
    ) -> Predicted:
        effects = self.effects
        weight = dict(zip(self.contexts.names, self.contexts.weights(group, value), strict=True))
        known, changes, noise = in_context(
            effects.change, effects.variance, effects.parts, effects.groups, weight, group
        )
        at = {name: i for i, name in enumerate(known)}
        own = {p for p, g in zip(effects.parts, effects.groups, strict=True) if g == group}
        change = np.zeros((len(parts), changes.shape[1]))
        variance = change.copy()
        names = np.empty(len(parts), dtype=object)
        for k, part in enumerate(parts):
            if part in at:
                change[k] = changes[at[part]]
                kind = "observed" if part in own else "other groups"
                names[k] = kind
                variance[k] = noise[at[part]] if part in own else self.spread["group"]
        new = [k for k, part in enumerate(parts) if part not in at]
        for kind in ("single", "combination"):
            some = [k for k in new if (len(parts[k]) == 1) == (kind == "single")]
            if some:
                chosen = method or self.methods[kind]
                found = predict_new(self, known, changes, noise, [parts[k] for k in some], chosen)
                change[some], names[some] = found, chosen
                variance[some] = self.spread[kind]
        return Predicted(change, variance, names)


@dataclass(frozen=True)
class Predicted:
    """Predicted changes."""

    change: np.ndarray
    """``(n, n_genes)``"""
    variance: np.ndarray
    """Squared standard deviations, ``(n, n_genes)``."""
    method: np.ndarray
    """``"observed"`` for training rows, ``"other groups"`` for the mean of the same perturbation in
    other groups, otherwise the method, ``(n,)``."""

    @property
    def std(self) -> np.ndarray:
        """Standard deviations, ``(n, n_genes)``."""
        return np.sqrt(np.maximum(self.variance, _TINY))


def predict_new(
    fitted: FittedPerturbation,
    known: list[Parts],
    changes: np.ndarray,
    variance: np.ndarray,
    parts: list[Parts],
    method: str,
) -> np.ndarray:
    """Predict perturbations that were not seen, from those of a group, ``(n, n_genes)``."""
    design = Design.of([*known, *parts], fitted.knowledge)
    train, query = np.arange(len(known)), len(known) + np.arange(len(parts))
    if method == "mean":
        return mean_weights(design, train, query) @ changes
    if method == "additive":
        return additive_weights(design, train, query) @ changes
    if method == "network":
        assert fitted.network is not None
        mean = changes.mean(axis=0)
        inputs = network_inputs(design, fitted.knowledge, fitted.effects)
        return mean + apply_network(fitted.network, inputs, design.incidence[query])
    noise = np.append(relative_noise(variance), np.ones(len(parts)))
    padded = np.vstack([changes, np.zeros((len(parts), changes.shape[1]))])
    smoother = KernelSmoother(design, padded, noise)
    return smoother.weights(train, query, [fitted.settings])[0] @ changes
