"""A screen of knockouts from cells to tables."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from scmomer.data import ModelSpec
from scmomer.tasks.perturbation.knockout._background import (
    Background,
    background_pool,
    make_background,
    places,
)
from scmomer.tasks.perturbation.knockout._cells import KnockoutCells
from scmomer.tasks.perturbation.knockout._features import feature_table
from scmomer.tasks.perturbation.knockout._network import KnockoutNetwork, Mode
from scmomer.tasks.perturbation.knockout._readouts import feature_readouts
from scmomer.tasks.perturbation.knockout._result import Knockout
from scmomer.tasks.perturbation.knockout._scores import (
    TOWARDS,
    Comparison,
    Directions,
    Scorer,
    score_table,
)
from scmomer.tasks.perturbation.knockout._shifts import Shifts, base_latents, mean_shifts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnockoutOptions:
    """How a screen is run; see :func:`scmomer.tl.knockout`."""

    mode: Mode
    n_background: int
    min_cells: int
    max_cells: int | None
    n_top: int
    seed: int
    batch_size: int
    progress: bool


def screen(
    network: KnockoutNetwork,
    spec: ModelSpec,
    cells: KnockoutCells,
    genes: np.ndarray,
    measured: np.ndarray,
    groups: list[str],
    towards: str | np.ndarray | None,
    options: KnockoutOptions,
) -> Knockout:
    """Knock out genes one after another, and compare each with random genes.

    Parameters
    ----------
    network, spec, cells
        Of the model and the cells.
    genes
        Positions among the model's genes, ``(n,)``.
    measured
        Positions of genes that the data have, ``(n_measured,)``.
    groups
        Names of the groups.
    towards
        The wanted state: a group, or an embedding ``(n_latent,)`` in units of users.
    options
        How it is run.
    """
    base = base_latents(network, cells, options.batch_size)
    center = _centers(base, cells)
    seen = measured[cells.n_expressing[:, measured].sum(0) >= options.min_cells]
    pool = background_pool(cells, genes, seen, options.n_background, options.seed)
    every = np.unique(np.concatenate([genes, pool]))
    shifts = mean_shifts(
        *(network, cells, every, base),
        mode=options.mode,
        max_cells=options.max_cells,
        seed=options.seed,
        batch_size=options.batch_size,
        progress=options.progress,
    )
    own, background = _part(shifts, genes), _part(shifts, pool)
    readouts = feature_readouts(network, spec)
    basis = network.module.basis.cpu().numpy().astype(np.float64)
    ways = None if towards is None else _directions(towards, groups, center, basis)
    scorer = Scorer(basis, readouts, [r.gram() for r in readouts], ways)
    compared_with = make_background(cells, background, options.min_cells)
    table, compared = score_table(
        *(own, compared_with, places(cells, genes), scorer),
        n_background=options.n_background,
        min_cells=options.min_cells,
    )
    top = feature_table(own, compared_with, compared, readouts, center, options.n_top)
    names = pd.Index(spec.features["rna"][genes], name=None)
    _report(table, compared_with, options)
    return Knockout(
        table=_named(table, cells, genes, own, names, groups),
        features=_with_names(top, names, groups),
        genes=names,
        groups=pd.Index(groups),
        shift=_excess(compared, own, basis),
        params={**asdict(options), TOWARDS: towards},
        latents=own.mean.astype(np.float32),
        readouts=tuple(readouts),
    )


def _centers(base: np.ndarray, cells: KnockoutCells) -> np.ndarray:
    """Return mean latents of each group, ``(n_groups, width)``."""
    total = np.zeros((cells.n_groups, base.shape[1]))
    np.add.at(total, cells.groups, base)
    return total / np.maximum(cells.sizes, 1)[:, None]


def _part(shifts: Shifts, genes: np.ndarray) -> Shifts:
    rows = np.searchsorted(shifts.genes, genes)
    return Shifts(genes, shifts.mean[rows], shifts.dose[rows], shifts.n_changed[rows])


def _directions(
    towards: str | np.ndarray, groups: list[str], center: np.ndarray, basis: np.ndarray
) -> Directions:
    """Return the way from each group to a state."""
    n = basis.shape[0]
    if isinstance(towards, str):
        way = center[groups.index(towards)] - center
        way[groups.index(towards)] = np.nan
        return Directions(way)
    wanted = np.linalg.lstsq(basis.T, np.asarray(towards, np.float64), rcond=None)[0]
    way = np.zeros_like(center)
    way[:, :n] = wanted - center[:, :n]
    return Directions(way)


def _excess(
    compared: dict[tuple[int, int], Comparison], own: Shifts, basis: np.ndarray
) -> np.ndarray:
    n = basis.shape[0]
    found = np.full((*own.dose.shape, n), np.nan, np.float32)
    for (i, group), pair in compared.items():
        found[i, group] = pair.excess[:n] @ basis
    return found


def _named(
    table: pd.DataFrame,
    cells: KnockoutCells,
    genes: np.ndarray,
    own: Shifts,
    names: pd.Index,
    groups: list[str],
) -> pd.DataFrame:
    """Add names, sizes and expression to a table of scores."""
    i, group = table["gene"].to_numpy(int), table["group"].to_numpy(int)
    found = _with_names(table, names, groups)
    more = {
        "n_cells": cells.sizes[group],
        "n_changed": own.n_changed[i, group],
        "detection": cells.detection[group, genes[i]],
        "mean": cells.mean[group, genes[i]],
    }
    for place, (name, values) in enumerate(more.items()):
        found.insert(2 + place, name, values)
    return found


def _with_names(table: pd.DataFrame, names: pd.Index, groups: list[str]) -> pd.DataFrame:
    i, group = table["gene"].to_numpy(int), table["group"].to_numpy(int)
    return table.assign(gene=names[i], group=np.array(groups, object)[group])


def _report(table: pd.DataFrame, background: Background, options: KnockoutOptions) -> None:
    """Log how many genes have no score, and why."""
    without = table["embedding_z"].isna()
    few = without & (table["n_background"] == 0)
    logger.info(
        "%d pairs of gene and group, beside %d random genes; %d have fewer than %d cells that "
        "change, %d too few random genes, and no z; %d are beyond the expression of these genes.",
        *(len(table), len(background.shifts.genes), int(few.sum()), options.min_cells),
        *(int((without & ~few).sum()), int((table["outside"] & ~without).sum())),
    )
