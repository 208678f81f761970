"""Train the network on pseudobulk changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from scmomer.tasks.perturbation.network._losses import network_loss
from scmomer.tasks.perturbation.network._network import Graph, PerturbationNetwork

_EPOCHS: Final = 60
_RATE: Final = 1e-3
_DECAY: Final = 5e-4
_CLIP: Final = 1.0
_ELEMENTS: Final = 2_000_000  # rows x genes in a step, to bound memory


@dataclass(frozen=True)
class NetworkInputs:
    """What the network reads beside the perturbations."""

    features: Tensor
    """Of parts, ``(n_parts, n_features)``"""
    part_graph: Graph
    gene_graph: Graph
    gene_vectors: Tensor | None
    """Frozen embeddings of measured genes, ``(n_genes, dim)``."""


def train_network(
    inputs: NetworkInputs,
    incidence: np.ndarray,
    changes: np.ndarray,
    mean: np.ndarray,
    *,
    seed: int = 0,
    epochs: int = _EPOCHS,
) -> PerturbationNetwork:
    """Return a network trained on changes about the training mean.

    Parameters
    ----------
    inputs
        Features and graphs.
    incidence
        Parts of training perturbations, ``(n_rows, n_parts)``.
    changes
        Changes of training perturbations, ``(n_rows, n_genes)``.
    mean
        Training mean, ``(n_genes,)``.
    seed
        Of the weights and the order of rows.
    epochs
        Passes over the rows.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PerturbationNetwork(
            changes.shape[1], inputs.features.shape[1], inputs.gene_vectors
        )
        truth = torch.tensor(changes - mean, dtype=torch.float32)
        middle = torch.tensor(mean, dtype=torch.float32)
        spread = truth.std(0, unbiased=False)
        scale = spread.clamp_min(float(spread.mean()) + 1e-6)
        rows = torch.tensor(incidence, dtype=torch.float32)
        optimizer = torch.optim.Adam(network.parameters(), lr=_RATE, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epochs, 1))
        step = max(1, min(len(rows), _ELEMENTS // changes.shape[1]))
        for _ in range(epochs):
            for some in torch.randperm(len(rows)).split(step):
                found = network(inputs.features, inputs.part_graph, inputs.gene_graph, rows[some])
                loss = network_loss(found, truth[some], middle, scale)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_value_(network.parameters(), _CLIP)
                optimizer.step()
            schedule.step()
    return network.eval()


def apply_network(
    network: PerturbationNetwork, inputs: NetworkInputs, incidence: np.ndarray
) -> np.ndarray:
    """Return changes about the training mean, ``(n_rows, n_genes)``."""
    rows = torch.tensor(incidence, dtype=torch.float32)
    step = max(1, _ELEMENTS // len(network.bias))
    with torch.no_grad():
        found = [
            network(inputs.features, inputs.part_graph, inputs.gene_graph, some)
            for some in rows.split(step)
        ]
    return torch.cat(found).numpy().astype(np.float64)
