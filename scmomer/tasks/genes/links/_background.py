"""Significance of links: scores of the same gene with matched peaks of other chromosomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scmomer.tasks.genes.links._candidates import Candidates
from scmomer.tasks.genes.links._scores import LinkFactors

Null = Literal["distance", "trans"]

_MAX_DISTANCES = 10  # bins, with equal numbers of candidate pairs
_MAX_ACCESSIBILITIES = 10
_MAX_WIDTHS = 3
_MEMBERS = 2  # of a bin, at least, for one in the background: some are on the same chromosome
MIN_BACKGROUND = 20  # peaks, for a mean and a standard deviation
_MAX_NULL = 2_000_000  # pooled background scores: p down to one in a million
_MIN_DEVIATION = 1e-9


@dataclass(frozen=True)
class Strata:
    """Kinds of peaks that are compared with each other."""

    of_pair: np.ndarray
    """Stratum of each candidate pair, ``(n_pairs,)`` int64."""
    members: list[np.ndarray]
    """Peaks of each stratum; a peak may be in several."""


def distance_strata(candidates: Candidates, n_background: int) -> Strata:
    """Match by distance: peaks as far from any of their genes as the peak from this one.

    Few pairs have fewer bins.
    """
    near = np.abs(candidates.distance)
    n = _n_bins(len(near) // 2, n_background, _MAX_DISTANCES)  # a peak is in several pairs
    of_pair = _bins(near, n)
    return Strata(of_pair, [np.unique(candidates.peak[of_pair == s]) for s in range(n)])


def peak_strata(
    candidates: Candidates, accessibility: np.ndarray, width: np.ndarray, n_background: int
) -> Strata:
    """Match by properties of the peak, each ``(n_peaks,)``; NaN for peaks to leave out.

    Few peaks have fewer bins, of width first.
    """
    known = np.isfinite(accessibility)
    n_levels = _n_bins(int(known.sum()), n_background, _MAX_ACCESSIBILITIES)
    n_widths = _n_bins(int(known.sum()) // n_levels, n_background, _MAX_WIDTHS)
    of_peak = np.full(len(known), -1)
    levels = _bins(accessibility[known], n_levels)
    of_peak[known] = levels * n_widths + _bins(width[known], n_widths)
    members = [np.flatnonzero(of_peak == s) for s in range(n_levels * n_widths)]
    return Strata(of_peak[candidates.peak], members)


def _n_bins(n_members: int, n_background: int, most: int) -> int:
    return int(np.clip(n_members // (_MEMBERS * n_background), 1, most))


def _bins(values: np.ndarray, n: int) -> np.ndarray:
    """Return the quantile bin of each value, ``(n_values,)``."""
    edges = np.quantile(values, np.linspace(0, 1, n + 1)[1:-1]) if len(values) else []
    return np.searchsorted(edges, values, side="right")


@dataclass(frozen=True)
class Significance:
    """Of each pair, ``(n_pairs,)``; NaN without background."""

    z: np.ndarray
    pval: np.ndarray


def significance(
    factors: LinkFactors,
    candidates: Candidates,
    scores: np.ndarray,
    strata: Strata,
    gene_chromosome: np.ndarray,
    peak_chromosome: np.ndarray,
    n_background: int,
    seed: int,
) -> Significance:
    """Compare each score with those of the same gene and matched peaks of other chromosomes.

    Parameters
    ----------
    factors, candidates, scores
        All candidate pairs, not only those asked for: p-values do not depend on the question.
    strata
        Of the candidates.
    gene_chromosome, peak_chromosome
        Code of the chromosome of every gene and peak, in one numbering; -1 for genes without one.
    n_background
        Peaks for each stratum and chromosome.
    seed
        Of their choice.
    """
    rng = np.random.default_rng(seed)
    z, null = np.full(len(candidates), np.nan), []
    chromosomes = np.unique(gene_chromosome[candidates.gene])
    parts = max(1, len(strata.members) * len(chromosomes))
    for s, members in enumerate(strata.members):
        for c in chromosomes:
            pairs = np.flatnonzero((strata.of_pair == s) & (gene_chromosome[candidates.gene] == c))
            pool = members[peak_chromosome[members] != c]
            chosen = rng.permutation(pool)[:n_background]
            if not len(pairs) or len(chosen) < MIN_BACKGROUND:
                continue
            genes, row = np.unique(candidates.gene[pairs], return_inverse=True)
            background = factors.table(genes, chosen).astype(np.float64)
            z[pairs] = _standardized(scores[pairs], background, row)
            few = rng.permutation(len(genes))[: max(1, _MAX_NULL // parts // len(chosen))]
            null.append(_left_out(background[few]).ravel())
    pooled = np.sort(np.concatenate(null)) if null else np.empty(0)
    return Significance(z, _two_sided(z, pooled))


def _standardized(scores: np.ndarray, background: np.ndarray, row: np.ndarray) -> np.ndarray:
    mean, deviation = background.mean(1), background.std(1, ddof=1)
    return (scores - mean[row]) / np.maximum(deviation, _MIN_DEVIATION)[row]


def _left_out(background: np.ndarray) -> np.ndarray:
    """Standardize each background score by the others of its row."""
    n = background.shape[1]
    total, squares = background.sum(1, keepdims=True), (background**2).sum(1, keepdims=True)
    mean = (total - background) / (n - 1)
    variance = (squares - background**2 - (n - 1) * mean**2) / (n - 2)
    return (background - mean) / np.maximum(np.sqrt(np.maximum(variance, 0)), _MIN_DEVIATION)


def _two_sided(z: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return twice the smaller tail of the pooled background, at most 1."""
    n = len(null)
    above = n - np.searchsorted(null, z, side="left")
    below = np.searchsorted(null, z, side="right")
    pval = np.minimum(2 * (1 + np.minimum(above, below)) / (1 + n), 1.0)
    return np.where(np.isnan(z), np.nan, pval)
