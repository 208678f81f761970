"""How well an embedding mixes batches and keeps types of cells apart, by scib-metrics."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors

from ._blocks import dense
from ._checks import check_matrix, encode_labels

# Neighbours that scib_metrics.benchmark.Benchmarker gives to LISI and to the connectivity.
_N_LISI = 90
_N_GRAPH = 15


def integration(
    embedding: NDArray[np.number],
    batch: ArrayLike,
    labels: ArrayLike,
    *,
    n_jobs: int = 1,
) -> dict[str, float]:
    r"""Batch mixing and conservation of labels in an embedding, by scib-metrics.

    The functions of scib-metrics with the defaults of its ``Benchmarker``, each scaled to [0, 1],
    on exact nearest neighbours (:math:`k` = 90 for LISI, 15 for the graph) instead of approximate.
    With the inverse Simpson index :math:`S_i` of :math:`B` batches or :math:`L` labels in the
    neighbourhood of cell :math:`i`, and silhouettes :math:`s_i`,

    .. math::

        \mathrm{iLISI} &= \frac{\mathrm{median}_i S_i^{\mathrm{batch}} - 1}{B - 1}, &
        \mathrm{cLISI} &= \frac{L - \mathrm{median}_i S_i^{\mathrm{label}}}{L - 1}, \\
        \mathrm{BRAS} &= \frac{1}{L} \sum_l \operatorname{mean}_{i \in l}
        (1 - |s_i^{\mathrm{batch}}|), &
        \mathrm{silhouette} &= \tfrac{1}{2} (1 + \operatorname{mean}_i s_i^{\mathrm{label}}),

    and the graph connectivity is the mean over labels of the share of cells in the largest
    component of the label's graph of nearest neighbours.

    Parameters
    ----------
    embedding
        Embedding of the cells, shape ``(n_cells, n_latent)``.
    batch
        Batch of each cell, shape ``(n_cells,)``.
    labels
        Label of each cell, shape ``(n_cells,)``. Cells without label or batch (NaN, None) are left
        out before neighbours are searched.
    n_jobs
        Threads that search for neighbours; -1 for all.

    Returns
    -------
    Mixing of batches: ``"ilisi"``, ``"bras"``. Conservation of labels: ``"clisi"``,
    ``"graph_connectivity"``, ``"silhouette_label"``. All in [0, 1], best at 1.

    Raises
    ------
    ImportError
        If scib-metrics is not installed.
    ValueError
        If ``embedding`` is no finite matrix, if there is not one batch and one label per cell, or
        if cells, batches or labels are too few to compare.
    """
    scib = import_scib_metrics()
    embedding = check_matrix("embedding", embedding)
    batches = encode_labels("batch", batch, embedding.shape[0])
    types = encode_labels("labels", labels, embedding.shape[0])
    known = (batches >= 0) & (types >= 0)
    x = dense(embedding)[known].astype(np.float32)
    batches, types = batches[known], types[known]
    check_batches_and_types(batches, types)
    distances, indices = NearestNeighbors(n_neighbors=_N_LISI, n_jobs=n_jobs).fit(x).kneighbors(x)
    neighbors = scib.nearest_neighbors.NeighborsResults(indices, distances)
    scores = {
        "ilisi": scib.ilisi_knn(neighbors, batches),
        "bras": scib.bras(x, types, batches),
        "clisi": scib.clisi_knn(neighbors, types),
        "graph_connectivity": scib.graph_connectivity(neighbors.subset_neighbors(_N_GRAPH), types),
        "silhouette_label": scib.silhouette_label(x, types),
    }
    return {name: float(score) for name, score in scores.items()}


def import_scib_metrics() -> ModuleType:
    """Import the optional dependency."""
    try:
        import scib_metrics
    except ImportError as error:
        raise ImportError(
            "scib-metrics is not installed. Install it with: pip install 'scmomer[integration]'"
        ) from error
    return scib_metrics


def check_batches_and_types(batches: NDArray[np.intp], types: NDArray[np.intp]) -> None:
    """Ask for enough cells, batches and labels; codes of shape ``(n_cells,)``.

    Raises
    ------
    ValueError
        If there are too few.
    """
    if batches.size <= _N_LISI:
        raise ValueError(
            f"Expected more than {_N_LISI} cells with batch and label, found {batches.size}: each "
            f"is compared with its {_N_LISI} nearest neighbours. Pass more cells."
        )
    for name, codes in (("batch", batches), ("labels", types)):
        if (codes == codes[0]).all():
            raise ValueError(
                f"Expected `{name}` to have at least two values among cells with batch and label, "
                "found 1. Pass cells of at least two."
            )
    pairs = np.unique(np.stack([types, batches]), axis=1)[0]
    n_batches, n_cells = np.bincount(pairs), np.bincount(types)
    if not ((n_batches > 1) & (n_batches < n_cells)).any():
        raise ValueError(
            "Expected a label with cells of two batches, several of one of them, found none. "
            "Batches cannot be told from labels here."
        )
