"""Contextual gene embeddings, averaged over cells as they stream by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from scmomer._constants import RNA
from scmomer.inference._inference import Inference


@dataclass(frozen=True)
class GeneTokens:
    """Output tokens of genes over the cells of each group that express them."""

    mean: np.ndarray
    """Mean token, ``(n_genes, dim, n_groups)``, float32; NaN without a cell."""
    variance: np.ndarray
    """Unbiased variance over cells, summed over dimensions, ``(n_genes, n_groups)``; NaN with
    fewer than 2 cells."""
    n_cells: np.ndarray
    """Cells of the group that express the gene, ``(n_genes, n_groups)``, int64."""
    expression: np.ndarray
    """Mean log-normalized expression over the cells of all groups, ``(n_genes,)``."""


@torch.no_grad()
def gene_tokens(
    run: Inference, groups: np.ndarray, n_groups: int, progress: bool = False
) -> GeneTokens:
    """Average the tokens of genes over cells, group by group.

    Memory depends on genes, dimensions and groups, not on cells.

    Parameters
    ----------
    run
        Network and cells; its RNA encoder has gene tokens.
    groups
        Code of each cell of `run`, ``(n,)``; -1 for cells to leave out.
    n_groups
        Number of groups.
    progress
        Show a progress bar over cells.
    """
    encoder, n_genes = run.module.rna.encoder, run.module.rna.n_features
    rows = np.flatnonzero((groups >= 0) & run.cells.measured[RNA][run.indices])
    n_rows = n_genes * n_groups
    counts = torch.zeros(n_rows, dtype=torch.int64, device=run.device)
    expression = torch.zeros(n_genes, dtype=torch.float64, device=run.device)
    sums = squares = torch.empty(0)
    bar = tqdm(total=len(rows), unit=" cells", disable=not progress, desc="gene tokens")
    for position, cells in run.batches(run.indices[rows], (RNA,)):
        codes = torch.from_numpy(np.asarray(groups[rows[position]], np.int64)).to(run.device)
        features = run.module.rna.normalize(run.counts(cells)[RNA])
        expression.index_add_(0, features.indices, features.values.double())
        found = encoder.gene_tokens(features)
        if found is None:
            msg = "This encoder has no gene tokens."
            raise TypeError(msg)
        if not len(sums):
            width = found.vectors.shape[1]
            sums = found.vectors.new_zeros(n_rows, width, dtype=torch.float64)
            squares = sums.new_zeros(n_rows)
        row = found.genes + n_genes * codes[found.cells]  # groups outermost
        vectors = found.vectors.double()
        sums.index_add_(0, row, vectors)
        squares.index_add_(0, row, vectors.square().sum(1))
        counts += torch.bincount(row, minlength=n_rows)
        bar.update(len(position))
    bar.close()
    if not len(sums):
        msg = "Expected at least one cell with RNA in a group, found none. Pass cells with RNA."
        raise ValueError(msg)
    n = counts.double()
    mean = sums / n[:, None]  # NaN without a cell
    spread = (squares - n * mean.square().sum(1)).clamp_min(0) / (n - 1)
    spread[n < 2] = torch.nan
    mean_of = mean.float().view(n_groups, n_genes, -1).permute(1, 2, 0)
    return GeneTokens(
        mean_of.cpu().numpy(),
        spread.view(n_groups, n_genes).T.cpu().numpy(),
        counts.view(n_groups, n_genes).T.cpu().numpy(),
        (expression / len(rows)).cpu().numpy(),
    )
