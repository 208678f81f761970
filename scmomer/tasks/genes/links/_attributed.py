"""Factors of links by attribution: the gradient of each peak on each gene."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer._constants import ATAC, RNA
from scmomer.model import SCMOMER
from scmomer.tasks.genes.attribution import attribution_factors
from scmomer.tasks.genes.links._cells import LinkCells
from scmomer.tasks.genes.links._links import Activity
from scmomer.tasks.genes.links._scores import LinkFactors, shrunk

_N_STEPS = 10
_MAX_CELLS = 1000  # of each group


def attributed(
    found: list[Activity],
    model: SCMOMER,
    data: AnnData | MuData,
    cells: LinkCells,
    groups: np.ndarray,
    batch_size: int | None,
    layers: Mapping[str, Any],
) -> Iterator[Activity]:
    """Yield each group with cosines of attributions instead of correlations.

    Attributions are those of :func:`link_attributions` with ``statistic="covariance"``. They depend
    on the level of the peak and on how much the network relies on the gene; both cancel in the
    cosine of the vector of the gene (attribution of each dimension that decoders read) and that of
    the peak (slopes of its decoders).

    Parameters
    ----------
    found
        Each group, from :func:`activity`.
    model, data, cells
        The same cells.
    groups
        Group of each cell, ``(n_cells,)`` int, -1 for none.
    batch_size, layers
        As in :func:`scmomer.tl.peak_gene_links`.
    """
    read = model._read_cells(data, layers)
    factors = attribution_factors(
        model, read, groups, "covariance", False, _N_STEPS, _MAX_CELLS, batch_size
    )
    slopes = factors.prediction.slopes(np.arange(len(model.spec.features[ATAC])))
    slopes = np.moveaxis(slopes, 0, 1).reshape(slopes.shape[1], -1)  # (n_peaks, heads * latent)
    peak = _aligned(slopes, model.spec.features[ATAC], cells.peaks)
    for activity, by_latent in zip(found, factors.by_latent, strict=True):
        of_genes = by_latent.reshape(-1, by_latent.shape[-1]).T  # (n_genes, heads * latent)
        gene = _aligned(of_genes, model.spec.features[RNA], cells.genes)
        known = model.spec.features[RNA].get_indexer(cells.genes) >= 0
        open_ = model.spec.features[ATAC].get_indexer(cells.peaks) >= 0
        yield replace(
            activity,
            factors=LinkFactors(gene, peak),
            gene_cells=np.where(known, activity.gene_cells, 0),
            peak_cells=np.where(open_, activity.peak_cells, 0.0),
        )


def _aligned(vectors: np.ndarray, known: pd.Index, names: pd.Index) -> np.ndarray:
    """Return unit vectors of features by name; 0 for features that the model lacks."""
    place = known.get_indexer(names)
    found = np.where((place >= 0)[:, None], vectors[place], 0.0)
    return shrunk(found, 0.0).astype(np.float32)
