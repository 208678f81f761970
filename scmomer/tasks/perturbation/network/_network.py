"""The network of GEARS on index tensors, with the change about the training mean as its output."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Graph = tuple[Tensor, Tensor]


def mix(values: Tensor, graph: Graph) -> Tensor:
    """Average the values of neighbors, ``(n_nodes, dim)``."""
    (target, source), weight = graph
    return torch.zeros_like(values).index_add_(0, target, values[source] * weight[:, None])


def _mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        layers += [nn.Linear(a, b), *([nn.ReLU()] if i < len(sizes) - 2 else [])]
    return nn.Sequential(*layers)


class PerturbationNetwork(nn.Module):
    """Change of each gene, about the mean of the training perturbations.

    Perturbed genes have features (gene sets, embeddings) instead of free vectors, so that genes
    that were never perturbed have some; they are mixed over the graph of perturbed genes and summed
    over the parts of a combination. A learned interaction is added to the sum, and is zero at first.
    The last layer is zero at first: the untrained network predicts the mean.

    Parameters
    ----------
    n_genes
        Genes whose change is predicted.
    n_features
        Features of a perturbed gene.
    gene_vectors
        Frozen embeddings of the measured genes ``(n_genes, dim)``; None to learn them.
    dim
        Width.
    """

    def __init__(
        self, n_genes: int, n_features: int, gene_vectors: Tensor | None = None, dim: int = 64
    ):
        super().__init__()
        self.genes: nn.Module
        if gene_vectors is None:
            self.genes = nn.Embedding(n_genes, dim)
            self.register_buffer("vectors", None)
        else:
            self.genes = nn.Linear(gene_vectors.shape[1], dim)
            self.register_buffer("vectors", gene_vectors)
        self.position = nn.Embedding(n_genes, dim)
        self.gene_mlp = _mlp(dim, dim, dim)
        self.part = nn.Linear(n_features, dim)
        self.part_mlp = _mlp(dim, dim, dim)
        self.interaction = _mlp(2 * dim, dim, dim)
        self.decoder = _mlp(dim, 2 * dim, dim)
        self.weight = nn.Parameter(torch.zeros(n_genes, dim))
        self.bias = nn.Parameter(torch.zeros(n_genes))
        self.state = _mlp(n_genes, dim, dim)
        self.state_weight = nn.Parameter(torch.zeros(n_genes, dim))
        with torch.no_grad():
            self.interaction[-1].weight.zero_()  # type: ignore[operator]
            self.interaction[-1].bias.zero_()  # type: ignore[operator]
            self.weight.normal_(std=0.01)

    def embed_parts(self, features: Tensor, graph: Graph) -> Tensor:
        """Return vectors of perturbed genes, ``(n_parts, dim)``."""
        return mix(self.part(features), graph)

    def forward(
        self, features: Tensor, part_graph: Graph, gene_graph: Graph, incidence: Tensor
    ) -> Tensor:
        """Return changes about the training mean.

        Parameters
        ----------
        features
            ``(n_parts, n_features)``
        part_graph, gene_graph
            Indices ``(2, n_edges)`` and weights of edges among parts, and among measured genes.
        incidence
            1 for the parts of a perturbation, ``(n_rows, n_parts)``.

        Returns
        -------
        Tensor
            ``(n_rows, n_genes)``
        """
        base = self.genes.weight if self.vectors is None else self.genes(self.vectors)
        genes = self.gene_mlp(torch.relu(base) + 0.2 * mix(self.position.weight, gene_graph))
        parts = self.embed_parts(features, part_graph)
        total = incidence @ parts
        # Sum of products of different parts: zero for a single one.
        pairs = (total**2 - incidence @ parts**2) / 2
        total = self.part_mlp(total) + self.interaction(torch.cat([total, pairs], -1)) * (
            incidence.sum(-1, keepdim=True) > 1
        )
        hidden = self.decoder(torch.relu(genes[None] + total[:, None]))
        first = (hidden * self.weight).sum(-1) + self.bias
        return first + self.state(first) @ self.state_weight.T
