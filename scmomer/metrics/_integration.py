"""Batch mixing and conservation of cell types in an embedding, by scib-metrics."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors

from scmomer.metrics._blocks import dense
from scmomer.metrics._checks import check_matrix, encode_labels

# Numbers of neighbors in scib_metrics.benchmark.Benchmarker, for LISI and graph connectivity.
_N_LISI = 90
_N_GRAPH = 15


def integration(
    embedding: np.ndarray,
    batch: ArrayLike,
    labels: ArrayLike,
    *,
    n_jobs: int = 1,
) -> dict[str, float]:
    r"""Batch mixing and conservation of labels in an embedding, by scib-metrics.

    Uses the functions of scib-metrics with the defaults of its ``Benchmarker``, each scaled to
    [0, 1], on exact instead of approximate neighbors (:math:`k` = 90 for LISI, 15 for the graph).
    With the inverse Simpson index :math:`S_i` of :math:`B` batches or :math:`L` labels in the
    neighborhood of cell :math:`i`, and silhouettes :math:`s_i`,

    .. math::

        \mathrm{iLISI} &= \frac{\mathrm{median}_i S_i^{\mathrm{batch}} - 1}{B - 1}, &
        \mathrm{cLISI} &= \frac{L - \mathrm{median}_i S_i^{\mathrm{label}}}{L - 1}, \\
        \mathrm{BRAS} &= \frac{1}{L} \sum_l \operatorname{mean}_{i \in l}
        (1 - |s_i^{\mathrm{batch}}|), &
        \mathrm{silhouette} &= \tfrac{1}{2} (1 + \operatorname{mean}_i s_i^{\mathrm{label}}),

    and the graph connectivity is the mean over labels of the share of cells in the largest
    component of the label's graph of nearest neighbors.

    Parameters
    ----------
    embedding
        Embedding of the cells, shape ``(n_cells, n_latent)``.
    batch
        Batch of each cell, shape ``(n_cells,)``.
    labels
        Label of each cell, shape ``(n_cells,)``. Cells without label or batch (NaN, None) are left
        out first.
    n_jobs
        Threads of the neighbor search; -1 for all.

    Returns
    -------
    Batch mixing: ``"ilisi"``, ``"bras"``. Label conservation: ``"clisi"``,
    ``"graph_connectivity"``, ``"silhouette_label"``. All in [0, 1]; 1 is best.

    Raises
    ------
    ImportError
        If scib-metrics is not installed.
    ValueError
        If ``embedding`` is not a finite matrix, if there is not one batch and one label per cell,
        or if there are too few cells, batches or labels.
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
        msg = (
            "scib-metrics is not installed (needed for integration metrics). Install it with: "
            "pip install 'scmomer[integration]'"
        )
        raise ImportError(msg) from error
    return scib_metrics


def check_batches_and_types(batches: np.ndarray, types: np.ndarray) -> None:
    """Check that there are enough cells, batches and labels; codes of shape ``(n_cells,)``.

    Raises
    ------
    ValueError
        If there are too few.
    """
    if batches.size <= _N_LISI:
        msg = (
            f"Expected more than {_N_LISI} cells with batch and label, found {batches.size}: each "
            f"cell is compared with its {_N_LISI} nearest neighbors. Pass more cells."
        )
        raise ValueError(msg)
    for name, codes in (("batch", batches), ("labels", types)):
        if (codes == codes[0]).all():
            msg = (
                f"Expected `{name}` to have at least two values among cells with batch and label, "
                "found 1."
            )
            raise ValueError(msg)
    pairs = np.unique(np.stack([types, batches]), axis=1)[0]
    n_batches, n_cells = np.bincount(pairs), np.bincount(types)
    if not ((n_batches > 1) & (n_batches < n_cells)).any():
        msg = (
            "Expected a label with cells of at least two batches and several cells of one of them, "
            "found none: batches and labels are confounded."
        )
        raise ValueError(msg)
