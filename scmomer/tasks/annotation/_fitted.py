"""A fitted classifier: what prediction reads and a folder holds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from scmomer.data import Cells
from scmomer.tasks.annotation._expression_pcs import ExpressionPCs
from scmomer.tasks.annotation._gene_classifiers import GeneClassifiers
from scmomer.tasks.annotation._inputs import CellInputs, Settings
from scmomer.tasks.annotation._module import ClassifierModule
from scmomer.tasks.annotation._novelty import ClassMahalanobis
from scmomer.tasks.annotation._stacking import combine


@dataclass(frozen=True, kw_only=True)
class FittedClassifier(Settings):
    """Everything but the model that prediction needs."""

    model_id: str
    classes: np.ndarray
    """Names of the classes, sorted, ``(n_classes,)``."""
    heads: ClassifierModule
    epochs: np.ndarray
    """Best epoch of each head, ``(n_heads,)``."""
    held_out: np.ndarray
    """Largest probability of each held-out reference cell, sorted, ``(n,)``."""
    mahalanobis: ClassMahalanobis
    pcs: ExpressionPCs | None
    gene_classifiers: GeneClassifiers | None
    weights: np.ndarray
    """Of the heads, and of L2, L1 and component regression on genes, at least 0."""
    target_sum: float
    """Counts per cell after normalization, for components that heads read."""
    network: dict[str, Tensor] = field(default_factory=dict)
    """Tensors of the network that fine-tuning changed."""
    fine_epoch: int = 0
    """Best epoch of fine-tuning; 0 if none improved."""

    def predict_proba(self, inputs: CellInputs, cells: Cells) -> np.ndarray:
        """Return the probability of each class, ``(n_cells, n_classes)``, float32."""
        with torch.no_grad():
            by_heads = self.heads(torch.from_numpy(inputs.values)).numpy()
        if self.gene_classifiers is None:
            return by_heads
        by_genes = self.gene_classifiers.predict_proba_cells(cells)
        return combine(np.concatenate([by_heads[None], by_genes]), self.weights)
