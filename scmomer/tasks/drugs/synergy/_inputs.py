"""What the network of synergy reads: features of drugs and lines, and who they are."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
import torch

from scmomer.tasks.drugs.molecules._graphs import molecule_graphs
from scmomer.tasks.drugs.synergy._cells import Standardizer
from scmomer.tasks.drugs.synergy._network import SynergyEntities

logger = logging.getLogger(__name__)

DrugInputs = Literal["fingerprint", "graph", "both", "none"]
"""What is read of the structure of drugs."""

_NORM = 1.6  # root mean square of the length of the features of a drug
_MIN_DRUGS = 2  # of training that have a bit of the fingerprint, or it says no more than a name


@dataclass(frozen=True, eq=False)
class Subjects:
    """Drugs and cell lines with what is known of them, before any scaling."""

    smiles: np.ndarray
    """Canonical, ``(n_drugs,)``, text."""
    fingerprints: np.ndarray
    """uint8 ``(n_drugs, n_bits)``."""
    drug_ids: np.ndarray
    """Number of each drug in training, int ``(n_drugs,)``; -1 for a new one."""
    cell_ids: np.ndarray
    """Number of each line in training, int ``(n_lines,)``; -1 for a new one."""
    blocks: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Features, each lines x features; rows of NaN for lines without."""

    def with_permuted(self, what: Literal["cells", "drugs"], seed: int) -> Subjects:
        """Return subjects of which each has the features of another; a control."""
        rng = np.random.default_rng(seed)
        values = dict(vars(self))
        if what == "drugs":
            order = _derangement(np.arange(len(self.smiles)), rng)
            values |= {"smiles": self.smiles[order], "fingerprints": self.fingerprints[order]}
        else:
            blocks = {}
            for name, block in self.blocks.items():
                has = np.flatnonzero(block.notna().all(axis=1))
                order = np.arange(len(block))
                order[has] = _derangement(has, np.random.default_rng(seed))
                blocks[name] = block.iloc[order].set_axis(block.index)
            values["blocks"] = blocks
        return Subjects(**values)


def _derangement(items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the items in an order in which none keeps its place: one cycle through all."""
    cycle = rng.permutation(len(items))
    found = np.empty_like(items)
    found[cycle] = items[np.roll(cycle, 1)]
    return found


@dataclass(frozen=True, eq=False)
class SynergyInputs:
    """Scales learned from the drugs and lines of training."""

    drug_inputs: DrugInputs
    bits: np.ndarray
    """Positions in a fingerprint that are read, int ``(n_features,)``."""
    drug_scale: float
    standardizers: dict[str, Standardizer]

    @classmethod
    def fit(cls, subjects: Subjects, rows: np.ndarray, drug_inputs: DrugInputs) -> SynergyInputs:
        """Learn from the drugs and lines of some rows ``(n, 3)``, those of training."""
        drugs, lines = np.unique(rows[:, :2]), np.unique(rows[:, 2])
        seen = subjects.fingerprints[drugs]
        bits = np.flatnonzero(seen.sum(axis=0, dtype=np.int64) >= min(_MIN_DRUGS, len(drugs)))
        if drug_inputs in ("graph", "none"):
            bits = bits[:0]
        length = np.sqrt(max(seen[:, bits].sum() / len(drugs), 1.0))
        standardizers = {
            name: Standardizer.fit(block.iloc[lines].dropna(), name)
            for name, block in subjects.blocks.items()
        }
        return cls(drug_inputs, bits, _NORM / length, standardizers)

    @property
    def has_graphs(self) -> bool:
        """Whether molecules are read as graphs."""
        return self.drug_inputs in ("graph", "both")

    @property
    def n_cell(self) -> int:
        """Number of features of a line."""
        return sum(len(s.mean) for s in self.standardizers.values())

    def cell_features(self, blocks: dict[str, pd.DataFrame]) -> np.ndarray:
        """Return features of lines, float32 ``(n_lines, n_cell)``; 0 for lines without."""
        if not self.standardizers:
            return np.zeros((0, 0), np.float32)
        parts = [s(blocks[name]) for name, s in self.standardizers.items()]
        return np.concatenate(parts, axis=1)

    def entities(
        self,
        subjects: Subjects,
        seen: tuple[np.ndarray, np.ndarray],
        cells: np.ndarray | None = None,
    ) -> SynergyEntities:
        """Return tensors for the network.

        Parameters
        ----------
        subjects
            Drugs and lines.
        seen
            Numbers of drugs and lines that this network was trained on.
        cells
            :meth:`cell_features` of the lines, if they are known.
        """
        if cells is None:
            cells = self.cell_features(subjects.blocks)
        n_lines = len(subjects.cell_ids)
        cells = cells.reshape(n_lines, -1) if cells.size else np.zeros((n_lines, 0), np.float32)
        drugs = (subjects.fingerprints[:, self.bits] * self.drug_scale).astype(np.float32)
        ids = [
            torch.from_numpy(np.where(np.isin(own, known), own, -1).astype(np.int64))
            for own, known in zip((subjects.drug_ids, subjects.cell_ids), seen, strict=True)
        ]
        graphs = molecule_graphs(subjects.smiles) if self.has_graphs else None
        return SynergyEntities(
            torch.from_numpy(drugs), ids[0], torch.from_numpy(cells), ids[1], graphs
        )
