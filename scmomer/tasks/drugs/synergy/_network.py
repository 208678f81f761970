"""The network of synergy: one tower on a drug and a cell line, symmetric in the two drugs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmomer.tasks.drugs.molecules._graphs import MoleculeGraphs
from scmomer.tasks.drugs.molecules._networks import GraphEncoder, evaluating

_ROWS = 4096  # of a step of prediction


class SynergyEntities(NamedTuple):
    """Drugs and cell lines that rows refer to by position."""

    drugs: Tensor
    """Features of drugs, ``(n_drugs, n_drug)``, float32."""
    drug_ids: Tensor
    """Number of the drug among those of training, ``(n_drugs,)``, int64; -1 for a new one."""
    cells: Tensor
    """Features of cell lines, ``(n_cells, n_cell)``, float32."""
    cell_ids: Tensor
    """Number of the line among those of training, ``(n_cells,)``, int64; -1 for a new one."""
    graphs: MoleculeGraphs | None = None
    """The same drugs as molecules, if there is an encoder."""


class SynergyNetwork(nn.Module):
    """Synergy of two drugs in cell lines, symmetric in the drugs.

    A drug is a linear map of its features plus a vector of its own if training had it, and so is a
    cell line. One tower maps a drug in a line to a vector h; the output layers read
    relu(h(a) + h(b)), relu(h(a)) * relu(h(b)) and the line, which do not depend on the order:
    exchanging a and b changes no bit of the result. Each drug in a line passes the tower once in a
    step, however many rows it occurs in.

    Parameters
    ----------
    n_drug, n_cell
        Number of features of a drug and of a line; 0 for none.
    n_drug_ids, n_cell_ids
        Number of drugs and lines of training, for vectors of their own; 0 for none.
    encoder
        Encoder of graphs, whose vectors are further features of a drug.
    width_drug, width_cell
        Widths of the vectors of drugs and lines.
    hidden
        Widths of the tower.
    head
        Widths of layers between the symmetric features and the output.
    input_dropout, dropout
        Probabilities on the features and after each hidden layer.
    drug_id_dropout, cell_id_dropout
        Probability that a drug or a line is without its own vector in a step of training, as a new
        one is. It costs accuracy in those of training.

    Raises
    ------
    ValueError
        If drugs or lines have neither features nor vectors, or the tower has no layer.

    Notes
    -----
    Task and features as in DeepSynergy (Preuer et al., Bioinformatics 34, 1538, 2018), which reads
    both drugs in a fixed order and doubles the training data instead.
    """

    def __init__(
        self,
        n_drug: int,
        n_cell: int,
        *,
        n_drug_ids: int = 0,
        n_cell_ids: int = 0,
        encoder: GraphEncoder | None = None,
        width_drug: int = 64,
        width_cell: int = 32,
        hidden: Sequence[int] = (256, 256),
        head: Sequence[int] = (256,),
        input_dropout: float = 0.3,
        dropout: float = 0.2,
        drug_id_dropout: float = 0.0,
        cell_id_dropout: float = 0.0,
    ):
        super().__init__()
        n_features = n_drug + (encoder.n_out if encoder else 0)
        if not (n_features + n_drug_ids) or not (n_cell + n_cell_ids) or not hidden:
            msg = (
                f"Expected drugs and lines with features or ids, and a tower, found {n_features} "
                f"and {n_cell} features, {n_drug_ids} and {n_cell_ids} ids and hidden="
                f"{tuple(hidden)}. Pass at least one of n_drug, encoder and n_drug_ids, one of "
                "n_cell and n_cell_ids, and one width."
            )
            raise ValueError(msg)
        self.n_drug, self.n_cell, self.encoder = n_drug, n_cell, encoder
        self.input_dropout = nn.Dropout(input_dropout)
        self.drug_id_dropout, self.cell_id_dropout = drug_id_dropout, cell_id_dropout
        self.drug_features = nn.Linear(n_features, width_drug) if n_features else None
        self.cell_features = nn.Linear(n_cell, width_cell) if n_cell else None
        self.drug_vectors = nn.Embedding(n_drug_ids, width_drug) if n_drug_ids else None
        self.cell_vectors = nn.Embedding(n_cell_ids, width_cell) if n_cell_ids else None
        # The first layer of the tower on both, as a sum.
        self.of_drug = nn.Linear(width_drug, hidden[0], bias=False)
        self.of_cell = nn.Linear(width_cell, hidden[0])
        self.tower = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(hidden))
        self.dropout = nn.Dropout(dropout)
        widths = (2 * hidden[-1] + width_cell, *head)
        layers = [(nn.Linear(a, b), nn.ReLU(), nn.Dropout(dropout)) for a, b in pairwise(widths)]
        self.head = nn.Sequential(*chain.from_iterable(layers), nn.Linear(widths[-1], 1))

    def forward(self, entities: SynergyEntities, rows: Tensor) -> Tensor:
        """Return the synergy of pairs of drugs in cell lines.

        Parameters
        ----------
        entities
            Drugs and lines.
        rows
            Positions of both drugs and the line of each row, ``(n, 3)``, int64.

        Returns
        -------
        Values ``(n,)``.

        Raises
        ------
        ValueError
            If features or graphs are not those that the network was made for.
        """
        return self._combine(*self._encode(entities), rows)

    @torch.no_grad()
    def predict(self, entities: SynergyEntities, rows: Tensor, *, n_rows: int = _ROWS) -> Tensor:
        """Return the synergy without dropout, `n_rows` at a time; otherwise as :meth:`forward`."""
        with evaluating(self):
            encoded = self._encode(entities)
            parts = [self._combine(*encoded, part) for part in rows.split(n_rows)]
        return torch.cat(parts) if parts else rows.new_zeros(0, dtype=torch.float32)

    def _encode(self, entities: SynergyEntities) -> tuple[Tensor, Tensor]:
        """Return vectors of drugs ``(n_drugs, width_drug)`` and lines ``(n_cells, width_cell)``."""
        drugs, graphs = entities.drugs, entities.graphs
        found = (drugs.shape[1], entities.cells.shape[1], graphs is not None)
        if found != (self.n_drug, self.n_cell, self.encoder is not None):
            msg = (
                f"Expected {self.n_drug} features of drugs, {self.n_cell} of lines and "
                f"{'no ' if self.encoder is None else ''}graphs, found {found[0]}, {found[1]} and "
                f"{'no ' if graphs is None else ''}graphs. Pass entities as the network was made, "
                "or make it with other n_drug, n_cell and encoder."
            )
            raise ValueError(msg)
        if self.encoder is not None and graphs is not None:
            drugs = torch.cat([drugs, self.encoder(graphs)], 1)
        ids = (
            self._some(entities.drug_ids, self.drug_id_dropout),
            self._some(entities.cell_ids, self.cell_id_dropout),
        )
        return (
            self._vectors(drugs, ids[0], self.drug_features, self.drug_vectors),
            self._vectors(entities.cells, ids[1], self.cell_features, self.cell_vectors),
        )

    def _some(self, ids: Tensor, dropout: float) -> Tensor:
        """Return ids with some at random set to -1 in training."""
        if not self.training or not dropout:
            return ids
        return torch.where(torch.rand(len(ids), device=ids.device) < dropout, -1, ids)

    def _vectors(
        self, features: Tensor, ids: Tensor, layer: nn.Linear | None, own: nn.Embedding | None
    ) -> Tensor:
        parts = []
        if layer is not None:
            parts.append(layer(self.input_dropout(features)))
        if own is not None:
            parts.append(own(ids.clamp(min=0)) * (ids >= 0)[:, None])
        return sum(parts[1:], parts[0])

    def _combine(self, drugs: Tensor, cells: Tensor, rows: Tensor) -> Tensor:
        a, b, line = rows.unbind(1)
        n = len(cells)
        # Each drug in a line once; the order of a and b changes neither the list nor its sums.
        treated, at = torch.unique(torch.stack([a * n + line, b * n + line]), return_inverse=True)
        h = self.of_drug(drugs)[treated // n] + self.of_cell(cells)[treated % n]
        for layer in self.tower:
            h = layer(self.dropout(F.relu(h)))
        ha, hb = h[at[0]], h[at[1]]
        both = [F.relu(ha + hb), F.relu(ha) * F.relu(hb), cells[line]]
        return self.head(torch.cat(both, 1))[:, 0]
