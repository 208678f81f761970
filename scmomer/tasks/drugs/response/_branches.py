"""The two networks of response: cell branch and drug branch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from scmomer.tasks.drugs.molecules._graphs import MoleculeGraphs
from scmomer.tasks.drugs.molecules._networks import GraphEncoder

Pooling = Literal["max", "mean"]


class CellBranch(nn.Module):
    """From the profile of a line to its responses to the training drugs.

    ``cell effect + <cell vector, drug vector>`` in standard deviations of each drug; drug vectors
    are free parameters.

    Parameters
    ----------
    n_features
        Width of a profile.
    n_drugs
        Training drugs.
    rank
        Width of the vectors.
    hidden
        Width of the hidden layer.
    """

    def __init__(self, n_features: int, n_drugs: int, *, rank: int = 16, hidden: int = 256):
        super().__init__()
        self.of_profile = nn.Sequential(
            *(nn.Dropout(0.5), nn.Linear(n_features, hidden), nn.GELU()),
            *(nn.Dropout(0.5), nn.Linear(hidden, rank + 1)),
        )
        self.drugs = nn.Parameter(torch.randn(n_drugs, rank) * 0.02)

    def forward(self, profiles: Tensor) -> Tensor:
        """Map ``(n, n_features)`` to ``(n, n_drugs)``."""
        found = self.of_profile(profiles)
        return found[:, :1] + found[:, 1:] @ self.drugs.T


class DrugBranch(nn.Module):
    """From the molecule of a drug to how cell lines respond to it.

    ``(1 + a) * mean response + <loadings, components of responses>`` in standard deviations of the
    drug: `a` and the loadings are read from the molecule by graph convolutions. They start at 0: at
    the mean response of each line.

    Parameters
    ----------
    n_components
        Number of components.
    pooling
        Of atoms, see :class:`GraphEncoder`.
    """

    def __init__(self, n_components: int, *, pooling: Pooling = "max"):
        super().__init__()
        self.graphs = GraphEncoder(pooling=pooling)
        self.dropout = nn.Dropout(0.3)
        self.loadings = nn.Linear(self.graphs.n_out, n_components + 1)
        nn.init.zeros_(self.loadings.weight)
        nn.init.zeros_(self.loadings.bias)

    def forward(self, graphs: MoleculeGraphs, components: Tensor) -> Tensor:
        """Return ``(n_lines, n_drugs)``.

        Parameters
        ----------
        graphs
            Molecules, n_drugs of them.
        components
            Mean response of each line, then its components, ``(n_lines, 1 + n_components)``.
        """
        found = self.loadings(self.dropout(self.graphs(graphs)))
        return components[:, :1] * (1 + found[:, 0]) + components[:, 1:] @ found[:, 1:].T
