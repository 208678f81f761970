"""Links of peaks to genes in a group of cells: score, significance, blocks."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from scmomer.data import GenePositions, PeakPositions, plain_chromosomes, warn
from scmomer.tasks.genes.links._background import (
    Null,
    Significance,
    distance_strata,
    peak_strata,
    significance,
)
from scmomer.tasks.genes.links._blocks import correlated_blocks
from scmomer.tasks.genes.links._candidates import Candidates
from scmomer.tasks.genes.links._cells import LinkCells, Measured
from scmomer.tasks.genes.links._scores import LinkFactors, components, loadings, shrunk

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LinkOptions:
    """Options of :func:`scmomer.tl.peak_gene_links` that concern each group of cells."""

    distance: int
    null: Null
    n_background: int
    min_cells: int
    adjust_depth: bool
    block_correlation: float
    seed: int


@dataclass(frozen=True)
class Activity:
    """Genes and peaks in a group of cells."""

    factors: LinkFactors
    """Of the score, ``(n_genes, n_components)`` and ``(n_peaks, n_components)``."""
    peak_vectors: np.ndarray
    """Products are correlations of peaks, ``(n_peaks, n_components)``."""
    gene_cells: np.ndarray
    """Cells in which each gene was seen, ``(n_genes,)``."""
    peak_cells: np.ndarray
    """Cells in which each peak is open, ``(n_peaks,)``; infinite for predicted peaks."""
    accessibility: np.ndarray
    """Values to match peaks by, ``(n_peaks,)``."""


@dataclass(frozen=True)
class Places:
    """Where genes and peaks are, and which pairs are near each other."""

    genes: GenePositions
    peaks: PeakPositions
    candidates: Candidates
    n_genes: int

    @property
    def chromosomes(self) -> tuple[np.ndarray, np.ndarray]:
        """Chromosome of each gene (-1 without one) and of each peak, in one numbering."""
        names = [plain_chromosomes(p.chromosomes) for p in (self.genes, self.peaks)]
        codes = pd.factorize(np.concatenate([n.to_numpy(object) for n in names]))[0]
        of_gene = np.full(self.n_genes, -1)
        of_gene[self.genes.gene] = codes[: len(names[0])][self.genes.chromosome]
        return of_gene, codes[len(names[0]) :][self.peaks.chromosome]


def activity(
    cells: LinkCells, chosen: np.ndarray, groups: np.ndarray, adjust_depth: bool
) -> Activity:
    """Return the factors of the score in some cells.

    Parameters
    ----------
    cells
        All cells.
    chosen
        Cells to use, ``(n_cells,)`` bool.
    groups
        Indicators of groups whose means are removed, for the chosen cells ``(n, n_groups)``; a
        column of ones for no groups.
    adjust_depth
        Also remove what follows the log depth of cells.
    """
    rna = cells.rna.of(chosen)
    atac = cells.atac.of(chosen) if isinstance(cells.atac, Measured) else None
    nuisance = [groups]
    if adjust_depth:
        for part in (rna, atac):
            if part is not None and len(part.depth):
                depth = np.zeros((len(groups), 1))
                depth[part.cells, 0] = part.depth - part.depth.mean()
                nuisance.append(depth)
    z = cells.z[chosen].astype(np.float64)
    directions = components(z, np.hstack(nuisance))
    gene = _loadings(rna, directions, groups)
    gene_cells = rna.values.getnnz(axis=0)
    if atac is not None:
        counts = atac.values.getnnz(axis=0)
        peak = _loadings(atac, directions, groups)
        return Activity(LinkFactors(gene, peak), peak, gene_cells, counts.astype(float), counts)
    assert not isinstance(cells.atac, Measured)
    moved = cells.atac.slopes @ ((z - z.mean(0)).T @ directions) / len(z)
    factors = LinkFactors(gene, shrunk(moved, 0.0).astype(np.float32))
    every = np.full(len(moved), np.inf)
    return Activity(factors, factors.peak, gene_cells, every, cells.atac.logit)


def _loadings(part: Measured, directions: np.ndarray, groups: np.ndarray) -> np.ndarray:
    of_rows = groups[part.cells]
    if not len(of_rows):
        return np.zeros((part.values.shape[1], directions.shape[1]), np.float32)
    present = of_rows.any(0)
    return loadings(part.values, directions[part.cells], of_rows[:, present])


def links_of(
    found: Activity,
    places: Places,
    options: LinkOptions,
    group: str,
    asked: np.ndarray,
    names: tuple[pd.Index, pd.Index],
) -> pd.DataFrame:
    """Return the links of one group of cells.

    Parameters
    ----------
    found
        Genes and peaks in these cells.
    places
        Coordinates, and all candidate pairs.
    options
        As named.
    group
        Name of the group.
    asked
        Candidates to return, ``(n_candidates,)`` bool. The background never depends on it.
    names
        Names of genes and of peaks.

    Returns
    -------
    pandas.DataFrame
        Columns as in :func:`scmomer.tl.peak_gene_links`, ordered by p-value.
    """
    pairs = places.candidates
    enough_gene = found.gene_cells >= options.min_cells
    enough_peak = found.peak_cells >= options.min_cells
    kept = enough_gene[pairs.gene] & enough_peak[pairs.peak]
    if not kept.any():
        warn(
            f"No gene and peak near each other are both seen in {options.min_cells} cells of group "
            f"{group!r}: it has no links. Lower min_cells=, or merge groups."
        )
    elif not kept.all():
        logger.info(
            "%s: %d of %d pairs are tested; in the others, gene or peak is seen in fewer than %d "
            "cells.",
            group,
            int(kept.sum()),
            len(kept),
            options.min_cells,
        )
    tested, asked = pairs.where(kept), asked[kept]
    scores = found.factors.pairs(tested.gene, tested.peak)
    result = _significance(found, places, tested, scores, enough_peak, options)
    blocks = correlated_blocks(
        found.peak_vectors, places.peaks, enough_peak, options.distance, options.block_correlation
    )
    return _table(
        tested.where(asked),
        scores[asked],
        Significance(result.z[asked], result.pval[asked]),
        blocks,
        group,
        places,
        names,
    )


def _significance(
    found: Activity,
    places: Places,
    tested: Candidates,
    scores: np.ndarray,
    enough_peak: np.ndarray,
    options: LinkOptions,
) -> Significance:
    peaks = places.peaks
    if options.null == "distance":
        strata = distance_strata(tested, options.n_background)
    else:
        by = np.where(enough_peak, found.accessibility, np.nan)
        strata = peak_strata(tested, by, peaks.end - peaks.start, options.n_background)
    of_gene, of_peak = places.chromosomes
    return significance(
        found.factors,
        tested,
        scores,
        strata,
        of_gene,
        of_peak,
        options.n_background,
        options.seed,
    )


def _table(
    pairs: Candidates,
    scores: np.ndarray,
    result: Significance,
    blocks: np.ndarray,
    group: str,
    places: Places,
    names: tuple[pd.Index, pd.Index],
) -> pd.DataFrame:
    adjusted = np.full(len(pairs), np.nan)
    known = np.isfinite(result.pval)
    if known.any():
        adjusted[known] = stats.false_discovery_control(result.pval[known], method="bh")
    chromosome = places.peaks.chromosomes.to_numpy(object)[places.peaks.chromosome]
    table = pd.DataFrame(
        {
            "peak": names[1].to_numpy(object)[pairs.peak],
            "gene": names[0].to_numpy(object)[pairs.gene],
            "distance": pairs.distance,
            "score": scores,
            "sign": np.sign(scores).astype(np.int64),
            "z": result.z,
            "pval": result.pval,
            "padj": adjusted,
            "group": group,
            "block": blocks[pairs.peak],
            "chrom": chromosome[pairs.peak],
            "start": places.peaks.start[pairs.peak],
            "end": places.peaks.end[pairs.peak],
            "tss": pairs.tss,
            "strand": pd.Series(pairs.strand).map({1: "+", -1: "-", 0: "."}).to_numpy(object),
        }
    )
    order = np.lexsort((-np.abs(scores), np.nan_to_num(result.pval, nan=2.0)))
    return table.iloc[order]
