"""Other embeddings of the same genes."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from anndata import AnnData

from scmomer.tasks.genes._inputs import Embeddings, GeneVectors, read_embeddings
from scmomer.tasks.genes._names import NameTables, match_names

logger = logging.getLogger(__name__)

RESERVED = (
    "embedding",
    "random",
    "expression",
    "gene_sets",
    "prefix",
    "degree",
    "additive",
    "gene_score",
)


def shared_genes(
    genes: GeneVectors,
    opponents: Mapping[str, Embeddings] | None,
    tables: NameTables,
    key: str,
    group: str | None = None,
) -> tuple[GeneVectors, dict[str, np.ndarray]]:
    """Return the genes that all embeddings have, and the vectors of each opponent.

    Genes that an opponent lacks are left out everywhere, counted in the log.

    Returns
    -------
    tuple
        The embedding of the shared genes, and for each opponent an array ``(n_shared, dim)``.
    """
    if opponents is not None and not isinstance(opponents, Mapping):
        msg = (
            f"Expected opponents as a dict from names to embeddings, found "
            f"{type(opponents).__name__}. Pass `opponents={{'other': table}}`."
        )
        raise TypeError(msg)
    if not opponents:
        return genes, {}
    if wrong := [name for name in opponents if name in RESERVED]:
        msg = (
            f"Expected other names of opponents than {list(RESERVED)}, found {wrong}. Rename them."
        )
        raise ValueError(msg)
    at = np.zeros((len(opponents), len(genes.names)), int)
    read = {}
    for i, (name, embeddings) in enumerate(opponents.items()):
        where = f"opponents[{name!r}]"
        groups = isinstance(embeddings, AnnData) and np.ndim(embeddings.varm.get(key)) == 3
        read[name] = read_embeddings(embeddings, key, group if groups else None, where)
        ours, theirs = match_names(
            genes.names, read[name], tables, f"embeddings, for {where}", strict=False
        )
        at[i] = -1
        at[i, ours] = theirs
    shared = np.asarray((at >= 0).all(axis=0))
    counts = ", ".join(f"{name} {(at[i] >= 0).sum()}" for i, name in enumerate(opponents))
    logger.info(
        "%d genes are compared: those of the embedding (%d) that all opponents have (%s).",
        shared.sum(),
        len(shared),
        counts,
    )
    if not shared.any():
        msg = f"Expected genes that all opponents share with embeddings, found none ({counts}). Leave some out."
        raise ValueError(msg)
    vectors = {name: read[name].vectors[at[i, shared]] for i, name in enumerate(opponents)}
    return genes.subset(shared), vectors
