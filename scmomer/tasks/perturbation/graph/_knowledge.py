"""What is known of genes beside the screen: the sets they are in, and their embeddings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scmomer.data import examples, warn
from scmomer.tasks.genes import Embeddings, GeneSets, read_embeddings, read_gene_sets
from scmomer.tasks.perturbation.screen._gene_names import find_genes

logger = logging.getLogger(__name__)

SET_SIZES: Final = (5, 500)  # smaller sets join too few genes, larger ones say too little


@dataclass(frozen=True)
class PartFeatures:
    """Features of perturbed genes; rows of genes without any are zero."""

    sets: np.ndarray
    """Membership in gene sets, ``(n_parts, n_sets)``; weighted rows have length 1."""
    set_weights: np.ndarray
    """Information of each set: the log of the share of genes that are not in it, ``(n_sets,)``."""
    vectors: np.ndarray
    """Standardized embeddings of length 1, ``(n_parts, dim)``."""

    @property
    def in_graph(self) -> np.ndarray:
        """Whether anything is known of a part, ``(n_parts,)``."""
        return np.asarray(self.sets.any(axis=1) | self.vectors.any(axis=1))


@dataclass(frozen=True)
class Knowledge:
    """Gene sets and embeddings of all genes that have them."""

    set_genes: pd.Index
    sets: sp.csr_matrix
    """Bool ``(n_set_genes, n_sets)``"""
    vector_genes: pd.Index
    vectors: np.ndarray
    """Standardized, float32 ``(n_vector_genes, dim)``"""

    @property
    def has_sets(self) -> bool:
        """Whether there are gene sets."""
        return self.sets.shape[1] > 0

    @property
    def has_vectors(self) -> bool:
        """Whether there are embeddings."""
        return self.vectors.shape[1] > 0

    def set_rows(self, parts: Sequence[str]) -> sp.csr_matrix:
        """Return the membership of parts in sets, ``(n_parts, n_sets)``; zero if unknown."""
        at = find_genes(parts, self.set_genes) if self.has_sets else np.full(len(parts), -1)
        rows = sp.vstack([self.sets, sp.csr_matrix((1, self.sets.shape[1]), dtype=bool)]).tocsr()
        return rows[np.where(at < 0, rows.shape[0] - 1, at)].astype(np.float64)

    def warn_if_useless(self, parts: Sequence[str]) -> None:
        """Warn if gene sets or embeddings know none of the perturbed genes."""
        for what, names in (("gene_sets", self.set_genes), ("gene_embeddings", self.vector_genes)):
            if len(names) and (find_genes(parts, names) < 0).all():
                warn(
                    f"None of the {len(parts)} perturbed genes (such as {examples(parts)}) is in "
                    f"{what} (such as {examples(names)}), which tell nothing. Pass names of the "
                    "same species and kind."
                )

    def features(self, parts: Sequence[str]) -> PartFeatures:
        """Return the features of parts, in their order."""
        rows = self.set_rows(parts)
        size = np.maximum(np.asarray(self.sets.sum(axis=0), np.float64).ravel(), 1)
        weight = np.log(max(len(self.set_genes), 2) / np.minimum(size, len(self.set_genes) - 0.5))
        used = np.asarray(rows.sum(axis=0)).ravel() > 0
        sets, weight = rows[:, used].toarray(), weight[used]
        length = np.sqrt((sets * weight).sum(axis=1, keepdims=True))
        at = find_genes(parts, self.vector_genes) if self.has_vectors else None
        vectors = np.zeros((len(parts), self.vectors.shape[1]))
        if at is not None:
            vectors[at >= 0] = self.vectors[at[at >= 0]]
        norm = np.linalg.norm(vectors, axis=1, keepdims=True)
        return PartFeatures(
            sets=sets / np.where(length > 0, length, 1),
            set_weights=weight,
            vectors=vectors / np.where(norm > 0, norm, 1),
        )


def read_knowledge(
    gene_sets: GeneSets | None, gene_embeddings: Embeddings | None, key: str = "X_scmomer"
) -> Knowledge:
    """Read what is known of genes.

    Parameters
    ----------
    gene_sets
        GMT file, or mapping from terms to genes; None for none. Sets of 5 to 500 genes are used.
    gene_embeddings
        As in :func:`scmomer.tl.gene_property`; None for none.
    key
        Key of varm, if embeddings are cells with ``varm[key]``.

    Raises
    ------
    ValueError
        If no set has a usable size.
    """
    genes, sets = pd.Index([], dtype=object), sp.csr_matrix((0, 0), dtype=bool)
    if gene_sets is not None:
        genes, sets = _incidence(read_gene_sets(gene_sets, "gene_sets"))
    names, vectors = pd.Index([], dtype=object), np.zeros((0, 0), np.float32)
    if gene_embeddings is not None:
        found = read_embeddings(gene_embeddings, key, None, "gene_embeddings")
        names = found.names
        spread = found.vectors.std(axis=0)
        vectors = (found.vectors - found.vectors.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return Knowledge(genes, sets, names, vectors.astype(np.float32))


def _incidence(terms: dict[str, list[str]]) -> tuple[pd.Index, sp.csr_matrix]:
    """Return the genes of sets of usable size, and which sets they are in."""
    low, high = SET_SIZES
    kept = {t: set(g) for t, g in terms.items() if low <= len(set(g)) <= high}
    if not kept:
        sizes = sorted(len(set(g)) for g in terms.values())
        msg = (
            f"Expected gene_sets with sets of {low} to {high} genes, found {len(terms)} sets of "
            f"{sizes[0]} to {sizes[-1]} (such as {examples(pd.Index(list(terms)))}). Pass others."
        )
        raise ValueError(msg)
    if len(kept) < len(terms):
        logger.info(
            "%d of %d gene sets have %d to %d genes and are used.",
            *(len(kept), len(terms), low, high),
        )
    table = pd.DataFrame(
        [(gene, i) for i, genes in enumerate(kept.values()) for gene in sorted(genes)],
        columns=["gene", "set"],
    )
    code, genes = pd.factorize(table["gene"], sort=True)
    shape = (len(genes), len(kept))
    matrix = sp.csr_matrix((np.ones(len(table), bool), (code, table["set"])), shape=shape)
    return pd.Index(genes), matrix
