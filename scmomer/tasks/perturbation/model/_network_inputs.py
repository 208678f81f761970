"""What the network reads: features of perturbed genes, graphs, embeddings of measured genes."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from scmomer.tasks.perturbation.graph._graph import (
    coexpression_graph,
    jaccard_graph,
    similarity_graph,
)
from scmomer.tasks.perturbation.graph._knowledge import Knowledge
from scmomer.tasks.perturbation.model._design import Design
from scmomer.tasks.perturbation.network._train import NetworkInputs
from scmomer.tasks.perturbation.screen._effects import Effects
from scmomer.tasks.perturbation.screen._gene_names import find_genes

_WIDTH: Final = 64
_SEED: Final = 0


def network_inputs(design: Design, knowledge: Knowledge, effects: Effects) -> NetworkInputs:
    """Return the inputs of the network for some perturbations.

    Parameters
    ----------
    design
        Perturbations to train on or to predict.
    knowledge
        Gene sets and embeddings.
    effects
        Training changes, for the co-expression graph.
    """
    rows = knowledge.set_rows(design.names)
    # A fixed projection of the sets: features of a gene do not depend on which others there are.
    drawn = np.random.default_rng(_SEED).normal(size=(rows.shape[1], _WIDTH))
    sets = rows @ drawn
    length = np.linalg.norm(sets, axis=1, keepdims=True)
    sets = sets / np.where(length > 0, length, 1)
    features = np.hstack([sets, design.features.vectors])
    if not knowledge.has_sets:
        features = np.hstack([design.features.vectors, np.zeros((len(features), 1))])
        vectors = design.features.vectors
        graph = similarity_graph(vectors @ vectors.T, 0.5)
    else:
        graph = jaccard_graph(design.features.sets)
    return NetworkInputs(
        features=torch.tensor(features, dtype=torch.float32),
        part_graph=graph,
        gene_graph=coexpression_graph(np.vstack([effects.control, effects.perturbed])),
        gene_vectors=_measured(knowledge, effects),
    )


def _measured(knowledge: Knowledge, effects: Effects) -> torch.Tensor | None:
    """Return embeddings of measured genes, zero where there is none; None without any."""
    if not knowledge.has_vectors:
        return None
    at = find_genes(list(effects.genes), knowledge.vector_genes)
    if (at < 0).all():
        return None
    found = np.zeros((len(at), knowledge.vectors.shape[1]), np.float32)
    found[at >= 0] = knowledge.vectors[at[at >= 0]]
    return torch.tensor(found)
