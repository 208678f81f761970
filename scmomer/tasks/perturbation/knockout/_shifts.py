"""Mean shifts of latents by gene and group, streamed over genes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from tqdm.auto import tqdm

from scmomer.nn import SparseRows, to_rows
from scmomer.tasks.perturbation.knockout._cells import Draw, KnockoutCells, dose, draw_cells
from scmomer.tasks.perturbation.knockout._network import KnockoutNetwork, Mode

_PAIRS_AT_ONCE = 2**13  # genes x cells that are sorted by length together
_TOKENS_AT_ONCE = 2**15


@dataclass(frozen=True)
class Shifts:
    """Mean change of latents over the cells of a group, for each gene that was set."""

    genes: np.ndarray
    """Positions among the genes of the model, ``(n,)``."""
    mean: np.ndarray
    """``(n, n_groups, width)`` float64; unchanged cells count as 0."""
    dose: np.ndarray
    """Change of the gene's own mean log expression, ``(n, n_groups)``, positive."""
    n_changed: np.ndarray
    """Cells of a group that change, before they were drawn, ``(n, n_groups)``."""

    @property
    def per_dose(self) -> np.ndarray:
        """Mean change for each unit of log expression, ``(n, n_groups, width)``; NaN without dose."""
        known = np.where(self.dose > 0, self.dose, np.nan)
        return self.mean / known[..., None]


def base_latents(network: KnockoutNetwork, cells: KnockoutCells, batch_size: int) -> np.ndarray:
    """Return latents of all cells as they are, ``(n_cells, width)`` float32."""
    out = np.zeros((len(cells.groups), network.width), np.float32)
    lengths = np.diff(cells.expression.indptr)
    for chosen in _batches(lengths, np.argsort(lengths, kind="stable"), batch_size):
        out[chosen] = network.base(_rows(network, cells, chosen)).cpu().numpy()
    return out


def mean_shifts(
    network: KnockoutNetwork,
    cells: KnockoutCells,
    genes: np.ndarray,
    base: np.ndarray,
    *,
    mode: Mode,
    max_cells: int | None,
    seed: int,
    batch_size: int,
    progress: bool,
) -> Shifts:
    """Set one gene after another and average the change of latents.

    Parameters
    ----------
    network, cells
        What is computed, in which cells.
    genes
        Positions among the genes of the model, ``(n,)``.
    base
        Of :func:`base_latents`.
    mode, max_cells
        As in :func:`draw_cells`.
    seed
        Of the draw, for each gene apart: it does not depend on which other genes there are.
    batch_size
        Cells at a time, fewer if they are long.
    progress
        Show a progress bar over genes.
    """
    n = len(genes)
    mean = np.zeros((n, cells.n_groups, network.width))
    doses, changed = np.zeros((n, cells.n_groups)), np.zeros((n, cells.n_groups), np.int64)
    pending: list[tuple[int, Draw]] = []
    with tqdm(total=n, desc="Knocking out", disable=not progress, leave=False) as bar:
        for i, gene in enumerate(genes):
            # In top_bin the same cells are drawn for every gene.
            rng = np.random.default_rng([seed, int(gene)] if mode == "zero" else seed)
            draw = draw_cells(cells, int(gene), mode, max_cells, rng)
            doses[i] = dose(cells, int(gene), draw)
            changed[i] = (
                cells.n_expressing[:, gene]
                if mode == "zero"
                else np.bincount(cells.groups[draw.cells], minlength=cells.n_groups)
            )
            pending.append((i, draw))
            if sum(len(d.cells) for _, d in pending) >= _PAIRS_AT_ONCE or i == n - 1:
                _add(network, cells, genes, base, pending, mean, batch_size)
                bar.update(len(pending))
                pending = []
    return Shifts(genes, mean, doses, changed)


def _add(
    network: KnockoutNetwork,
    cells: KnockoutCells,
    genes: np.ndarray,
    base: np.ndarray,
    draws: list[tuple[int, Draw]],
    mean: np.ndarray,
    batch_size: int,
) -> None:
    """Add the mean changes of some genes to `mean`."""
    row = np.repeat([i for i, _ in draws], [len(d.cells) for _, d in draws])
    cell = np.concatenate([d.cells for _, d in draws])
    weight = np.concatenate([d.weight for _, d in draws])
    parts = [d.value for _, d in draws if d.value is not None]
    value = np.concatenate(parts) if parts else None
    lengths = np.diff(cells.expression.indptr)[cell]
    flat = mean.reshape(-1, mean.shape[-1])  # a view
    for chosen in _batches(lengths, np.argsort(lengths, kind="stable"), batch_size):
        features = _rows(network, cells, cell[chosen])
        gene = torch.from_numpy(genes[row[chosen]]).to(features.indices.device)
        new = None if value is None else torch.from_numpy(value[chosen]).to(gene.device)
        found = network.knocked(features, gene, new).cpu().numpy()
        change = found.astype(np.float64) - base[cell[chosen]]
        place = row[chosen] * cells.n_groups + cells.groups[cell[chosen]]
        places, code = np.unique(place, return_inverse=True)
        into = sp.csr_matrix((weight[chosen], (code, np.arange(len(code)))))
        flat[places] += into @ change


def _rows(network: KnockoutNetwork, cells: KnockoutCells, chosen: np.ndarray) -> SparseRows:
    return to_rows(cells.expression[chosen]).to(network.module.device)


def _batches(lengths: np.ndarray, order: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield positions, in an order by length, with a bound on the tokens of a batch."""
    start = 0
    while start < len(order):
        stop = min(start + batch_size, len(order))
        longest = max(1, int(lengths[order[stop - 1]]))
        stop = min(stop, start + max(1, _TOKENS_AT_ONCE // longest))
        yield order[start:stop]
        start = stop
