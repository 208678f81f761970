"""Networks on molecules and cells: graphs to vectors, response."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmomer.tasks.drugs.molecules._graphs import N_ATOM_FEATURES, MoleculeGraphs

_N_VECTOR = 100  # width of drugs and of cells in the published network
_N_JOINT = 300
_PAIRS = 4096  # of a step of prediction: the first convolution takes 18 kB for each


class GraphEncoder(nn.Module):
    """Graph convolutions on molecules, pooled over the atoms of each.

    Each layer is a graph convolution (Kipf and Welling, ICLR 2017), batch normalization, ReLU and
    dropout. Molecules do not influence each other, except through batch normalization in training:
    pass molecules of the training part only.

    Parameters
    ----------
    n_features
        Number of features of an atom.
    hidden
        Widths of the layers before the last.
    n_out
        Width of the last layer and of the vectors.
    pooling
        Over the atoms of a molecule: ``"max"``, as described for the published networks, or
        ``"mean"``, the default of DeepCDR's code.
    dropout
        Probability after each layer.

    Raises
    ------
    ModuleNotFoundError
        If torch-geometric is not installed.
    ValueError
        If `pooling` is unknown.

    Notes
    -----
    Widths are those of DeepCDR (Liu et al., Bioinformatics 36, i911, 2020).

    Examples
    --------
    >>> GraphEncoder()(molecule_graphs(["CCO", "C"])).shape
    torch.Size([2, 100])
    """

    def __init__(
        self,
        n_features: int = N_ATOM_FEATURES,
        *,
        hidden: Sequence[int] = (256, 256, 256),
        n_out: int = _N_VECTOR,
        pooling: Literal["max", "mean"] = "max",
        dropout: float = 0.1,
    ):
        super().__init__()
        if pooling not in ("max", "mean"):
            msg = f"Expected pooling of 'max' or 'mean', found {pooling!r}. Choose one."
            raise ValueError(msg)
        geometric = import_torch_geometric()
        self.n_out = n_out
        self._pool = {"max": geometric.global_max_pool, "mean": geometric.global_mean_pool}[pooling]
        widths = (n_features, *hidden, n_out)
        # Weights of edges are the same in all layers: computed once, by _adjacency.
        self.convolutions = nn.ModuleList(
            geometric.GCNConv(a, b, normalize=False, add_self_loops=False)
            for a, b in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1:])
        self.dropout = nn.Dropout(dropout)

    def forward(self, graphs: MoleculeGraphs) -> Tensor:
        """Map n molecules to vectors ``(n, n_out)``."""
        edges = _adjacency(graphs)
        x = graphs.atoms
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = self.dropout(F.relu(norm(convolution(x, *edges))))  # (n_atoms, width)
        return self._pool(x, graphs.molecule, size=graphs.n)


class PublishedDrugResponse(nn.Module):
    """The published network of response: vectors of drug and cell, then convolutions.

    Every molecule and every cell is encoded once, however many pairs it occurs in.

    Parameters
    ----------
    n_cell
        Number of features of a cell, such as those of its embedding.
    pooling
        Of :class:`GraphEncoder`.
    dropout
        Probability in both branches and after the joint layer; the output layer has 0.2 besides.

    Notes
    -----
    DeepCDR (Liu et al., Bioinformatics 36, i911, 2020) with one cell branch. The convolutions need no
    padding: of 300 values, widths of 150, 5 and 5 with pooling by 2, 3 and 3 leave 151, 75, 71, 23,
    19 and 6, and 6 positions of 5 filters are the 30 inputs of the output layer. Start values are
    Keras' defaults, as there.
    """

    def __init__(
        self, n_cell: int, *, pooling: Literal["max", "mean"] = "max", dropout: float = 0.1
    ):
        super().__init__()
        self.drugs = GraphEncoder(pooling=pooling, dropout=dropout)
        self.cells = nn.Sequential(
            *(nn.Linear(n_cell, 256), nn.Tanh(), nn.BatchNorm1d(256), nn.Dropout(dropout)),
            *(nn.Linear(256, _N_VECTOR), nn.ReLU()),
        )
        self.joint = nn.Linear(2 * _N_VECTOR, _N_JOINT)
        self.head = nn.Sequential(
            *(nn.Tanh(), nn.Dropout(dropout), nn.Unflatten(1, (1, _N_JOINT))),
            *(nn.Conv1d(1, 30, 150), nn.ReLU(), nn.MaxPool1d(2)),
            *(nn.Conv1d(30, 10, 5), nn.ReLU(), nn.MaxPool1d(3)),
            *(nn.Conv1d(10, 5, 5), nn.ReLU(), nn.MaxPool1d(3)),
            *(nn.Dropout(dropout), nn.Flatten(), nn.Dropout(0.2), nn.Linear(30, 1)),
        )
        # As in Keras; with torch's own start values, outputs hardly differ between pairs.
        for layer in (*self.cells, self.joint, *self.head):
            if isinstance(layer, nn.Linear | nn.Conv1d):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(
        self, graphs: MoleculeGraphs, cells: Tensor, drug_index: Tensor, cell_index: Tensor
    ) -> Tensor:
        """Return the response of pairs.

        Parameters
        ----------
        graphs
            Molecules that the pairs are of.
        cells
            Features of cells that the pairs are of, ``(n_cells, n_cell)``; at least two in training.
        drug_index, cell_index
            Position of drug and cell of each pair, ``(n_pairs,)``, int64.

        Returns
        -------
        Values ``(n_pairs,)``.
        """
        if self.training and len(cells) < 2:
            msg = (
                f"Expected at least 2 cells in training, for batch normalization, found "
                f"{len(cells)}. Pass pairs of several cells in each step."
            )
            raise ValueError(msg)
        drugs, cells = self._encode(graphs, cells)
        return self.head(drugs[drug_index] + cells[cell_index])[:, 0]

    @torch.no_grad()
    def predict(self, graphs: MoleculeGraphs, cells: Tensor, *, n_pairs: int = _PAIRS) -> Tensor:
        """Return the response of all pairs, without dropout.

        Parameters
        ----------
        graphs
            Molecules, n_drugs of them.
        cells
            Features of cells, ``(n_cells, n_cell)``.
        n_pairs
            Number of pairs at a time.

        Returns
        -------
        Values ``(n_cells, n_drugs)``.
        """
        n_drugs = graphs.n
        with evaluating(self):
            drugs, cells = self._encode(graphs, cells)
            pairs = torch.arange(len(cells) * n_drugs, device=cells.device).split(n_pairs)
            parts = [self.head(drugs[p % n_drugs] + cells[p // n_drugs])[:, 0] for p in pairs]
        return torch.cat(parts).view(len(cells), n_drugs)

    def _encode(self, graphs: MoleculeGraphs, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shares of drugs and of cells in the joint layer; it adds them."""
        of_drugs, of_cells = self.joint.weight.split(_N_VECTOR, 1)
        return (
            F.linear(self.drugs(graphs), of_drugs),
            F.linear(self.cells(cells), of_cells, self.joint.bias),
        )


def import_torch_geometric() -> Any:
    """Import the optional dependency."""
    try:
        import torch_geometric.nn
    except ImportError as error:
        msg = (
            "torch-geometric is not installed (needed for graphs of molecules). Install it with: "
            "pip install 'scmomer[drug]'"
        )
        raise ModuleNotFoundError(msg) from error
    return torch_geometric.nn


def _adjacency(graphs: MoleculeGraphs) -> tuple[Tensor, ...]:
    """Return edges and self-loops weighted by ``1 / sqrt(degree * degree)``, for GCNConv.

    A sparse matrix ``(n_atoms, n_atoms)`` halves the time of a step; where it is not supported,
    indices ``(2, n_edges + n_atoms)`` and weights.
    """
    n = len(graphs.atoms)
    loops = torch.arange(n, device=graphs.device)
    rows, columns = torch.cat([graphs.edges, loops.expand(2, n)], 1)
    degree = torch.bincount(rows, minlength=n)
    weights = (degree[rows] * degree[columns]).to(graphs.atoms.dtype).rsqrt()
    if graphs.device.type not in ("cpu", "cuda"):
        return torch.stack([rows, columns]), weights
    order = torch.argsort(rows * n + columns)
    starts = F.pad(degree.cumsum(0), (1, 0))
    with warnings.catch_warnings():
        # That the layout is in beta state, once in a process.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        matrix = torch.sparse_csr_tensor(
            starts, columns[order], weights[order], (n, n), check_invariants=False
        )
    return (matrix,)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
