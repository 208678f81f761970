"""Scores of shifts against random genes of equal expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scmomer._constants import RNA
from scmomer.tasks.perturbation.knockout._background import MIN_BACKGROUND, Background
from scmomer.tasks.perturbation.knockout._readouts import SCORE_OF, FeatureReadout
from scmomer.tasks.perturbation.knockout._shifts import Shifts

EMBEDDING, TOWARDS = "embedding", "towards"


@dataclass(frozen=True)
class Directions:
    """A wanted state."""

    way: np.ndarray
    """From the mean embedding of each group to it, in units that decoders read,
    ``(n_groups, width)``; NaN for the wanted group itself."""


@dataclass(frozen=True)
class Comparison:
    """One gene in one group, beside its background."""

    excess: np.ndarray
    """Shift less that of genes of equal expression, ``(width,)``."""
    background: np.ndarray
    """Likewise of each of these genes, at the dose of the gene, ``(n, width)``."""
    genes: np.ndarray
    """These genes, ``(n,)``."""
    chosen: np.ndarray
    """Their positions in the pool, ``(n,)``."""


def compare(
    shifts: Shifts, i: int, group: int, background: Background, chosen: np.ndarray
) -> Comparison:
    """Subtract the mean shift of genes of equal expression, each for the same dose.

    Of each random gene, too, the mean of the *others* is subtracted.
    """
    pool = background.shifts
    amount = shifts.dose[i, group]
    scaled = pool.mean[chosen, group] / pool.dose[chosen, group, None] * amount  # (n, width)
    expected, n = scaled.mean(0), len(chosen)
    others = (scaled - expected) * n / (n - 1)
    return Comparison(shifts.mean[i, group] - expected, others, pool.genes[chosen], chosen)


@dataclass(frozen=True)
class Scorer:
    """Turns comparisons into numbers: sizes of a shift, and how far it leads to a state."""

    basis: np.ndarray
    """From units of decoders to those of users, ``(n_latent, n_latent)``."""
    readouts: Sequence[FeatureReadout]
    grams: Sequence[np.ndarray]
    directions: Directions | None

    @property
    def names(self) -> list[str]:
        """Names of the scores."""
        found = [EMBEDDING, *(SCORE_OF[r.modality] for r in self.readouts)]
        return found if self.directions is None else [*found, TOWARDS]

    def values(self, shift: np.ndarray, genes: np.ndarray, group: int) -> np.ndarray:
        """Return the scores of shifts ``(n, width)`` of genes ``(n,)``, ``(n, n_scores)``."""
        n = self.basis.shape[0]
        found = [np.linalg.norm(shift[:, :n] @ self.basis, axis=1)]
        for readout, gram in zip(self.readouts, self.grams, strict=True):
            squares = np.einsum("ij,jk,ik->i", shift, gram, shift)
            n_features = len(readout.names)
            if readout.modality == RNA:  # the gene itself is not scored
                own = np.einsum("ij,ij->i", shift, readout.weights[genes])
                squares, n_features = squares - own**2, n_features - 1
            found.append(np.sqrt(np.maximum(squares, 0) / max(n_features, 1)))
        if self.directions is not None:
            way = self.directions.way[group, :n] @ self.basis
            length = float(way @ way)
            share = shift[:, :n] @ self.basis @ way / length if length > 0 else np.nan
            found.append(share * np.ones(len(shift)))
        return np.stack(found, 1)


def score_table(
    shifts: Shifts,
    background: Background,
    place: np.ndarray,
    scorer: Scorer,
    *,
    n_background: int,
    min_cells: int,
) -> tuple[pd.DataFrame, dict[tuple[int, int], Comparison]]:
    """Return a row for each gene and group, and the comparisons behind those with a z.

    Parameters
    ----------
    shifts, place
        Of the genes, as :class:`Shifts` and :func:`places` have them.
    background
        Of the pool.
    scorer
        What is computed of a shift.
    n_background
        Random genes for each comparison.
    min_cells
        Changed cells of a group below which there is no score.
    """
    rows, kept = [], {}
    for i, gene in enumerate(shifts.genes):
        for group in range(shifts.mean.shape[1]):
            row: dict[str, float] = {"gene": i, "group": group, "dose": shifts.dose[i, group]}
            enough = shifts.n_changed[i, group] >= min_cells and shifts.dose[i, group] > 0
            chosen = background.nearest(int(gene), group, place[i, group], n_background)
            row["n_background"] = len(chosen) if enough else 0
            row["outside"] = _outside(place[i, group], background.place[chosen, group])
            if enough and len(chosen) >= MIN_BACKGROUND:
                pair = compare(shifts, i, group, background, chosen)
                kept[i, group] = pair
                row |= _one_row(pair, int(gene), group, scorer)
            rows.append(row)
    columns = [f"{name}{end}" for name in scorer.names for end in ("", "_z", "_p")]
    head = ["gene", "group", "dose", "n_background", "outside"]
    return pd.DataFrame(rows).reindex(columns=[*head, *columns]), kept


def _one_row(pair: Comparison, gene: int, group: int, scorer: Scorer) -> dict[str, float]:
    own = scorer.values(pair.excess[None], np.array([gene]), group)[0]
    chance = scorer.values(pair.background, pair.genes, group)  # (n, n_scores)
    spread = chance.std(0, ddof=1)
    row: dict[str, float] = {}
    for k, name in enumerate(scorer.names):
        value, random = own[k], chance[:, k]
        row[name] = value
        row[f"{name}_z"] = (value - random.mean()) / spread[k] if spread[k] > 0 else np.nan
        beyond = np.abs(random) >= abs(value) if name == TOWARDS else random >= value
        row[f"{name}_p"] = np.nan if np.isnan(value) else (1 + beyond.sum()) / (1 + len(random))
    return row


def _outside(place: np.ndarray, others: np.ndarray) -> bool:
    """Whether a gene is expressed more, or less, than all genes it is compared with."""
    if not len(others):
        return True
    margin = 0.5  # of a doubling
    low, high = others.min(0) - margin, others.max(0) + margin
    return bool(((place < low) | (place > high)).any())
