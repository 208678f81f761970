"""Changes in a group of cells, from those in similar groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scmomer.tasks.perturbation.model._design import Parts
from scmomer.tasks.perturbation.model._validation import Held, Rows, better, compare, join

RANGES: Final = (0.2, 0.05, 0.1, 0.5, np.inf)
_TINY: Final = 1e-12


@dataclass(frozen=True)
class Contexts:
    """Unperturbed profiles or embeddings of groups, by which groups are similar."""

    names: tuple[str, ...]
    values: np.ndarray
    """``(n_groups, dim)``"""
    range: float = np.inf
    """Distance (1 - correlation) over which weights fall to 1 / e."""

    def weights(self, group: str, value: np.ndarray | None = None) -> np.ndarray:
        """Return the weight of each group for another one, or for the same, ``(n_groups,)``.

        Parameters
        ----------
        group
            Name of the group.
        value
            Its profile or embedding, ``(dim,)``, if it is no training group; without one all
            groups count alike.
        """
        if value is None and group in self.names:
            value = self.values[self.names.index(group)]
        if value is None or not np.isfinite(self.range):
            return np.ones(len(self.names))
        rows = np.vstack([value, self.values])
        rows = rows - rows.mean(axis=1, keepdims=True)
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _TINY)
        distance = 1 - rows[1:] @ rows[0]
        return np.exp(-(distance - distance.min()) / self.range)


def in_context(
    changes: np.ndarray,
    variance: np.ndarray,
    parts: Sequence[Parts],
    groups: Sequence[str],
    weights: dict[str, float],
    own: str | None = None,
) -> tuple[list[Parts], np.ndarray, np.ndarray]:
    """Return the change by each perturbation in one group.

    Parameters
    ----------
    changes, variance
        Of rows, ``(n_rows, n_genes)``.
    parts, groups
        Of rows.
    weights
        Weight of each group; rows of others are not used.
    own
        Group whose own rows are taken as they are.

    Returns
    -------
    tuple
        Perturbations, and their changes and variances ``(n_perturbations, n_genes)``.
    """
    rows: dict[Parts, list[int]] = {}
    for i, (part, group) in enumerate(zip(parts, groups, strict=True)):
        if group in weights:
            rows.setdefault(part, []).append(i)
    names = sorted(rows)
    found, noise = (
        np.zeros((len(names), changes.shape[1])),
        np.zeros((len(names), changes.shape[1])),
    )
    for k, name in enumerate(names):
        at = rows[name]
        mine = [i for i in at if groups[i] == own]
        at = mine or at
        share = np.array([weights[groups[i]] for i in at])
        share = share / share.sum()
        found[k] = share @ changes[at]
        noise[k] = share**2 @ variance[at]
    return names, found, noise


def other_groups_held(
    rows: Rows, parts: Sequence[Parts], groups: Sequence[str], contexts: Contexts
) -> tuple[Held | None, np.ndarray]:
    """Predict each row from the same perturbation in the other groups.

    Returns
    -------
    tuple
        Agreement, None if no perturbation is in two groups, and errors ``(n_held_out, n_genes)``.
    """
    held, misses = [], []
    for group in dict.fromkeys(groups):
        weight = dict(zip(contexts.names, contexts.weights(group), strict=True))
        weight.pop(group, None)
        names, found, _ = in_context(rows.changes, rows.variance, parts, groups, weight)
        at = {name: i for i, name in enumerate(names)}
        query = [i for i, g in enumerate(groups) if g == group and parts[i] in at]
        if query:
            predicted = found[[at[parts[i]] for i in query]]
            # Control cells of groups differ: no noise is shared.
            held.append(compare(rows, np.array(query), predicted, np.zeros(len(query))))
            misses.append(rows.changes[query] - predicted)
    if not held:
        return None, np.zeros((0, rows.changes.shape[1]))
    return join(held), np.concatenate(misses)


def choose_range(
    rows: Rows, parts: Sequence[Parts], groups: Sequence[str], contexts: Contexts
) -> tuple[Contexts, Held | None, np.ndarray]:
    """Choose over which distance groups are alike, by held-out groups."""
    choices = [Contexts(contexts.names, contexts.values, r) for r in RANGES]
    found = [other_groups_held(rows, parts, groups, choice) for choice in choices]
    held = [h for h, _ in found if h is not None]
    best = better(held, 0, sure=0.0) if len(held) == len(choices) else len(choices) - 1
    return choices[best], *found[best]
