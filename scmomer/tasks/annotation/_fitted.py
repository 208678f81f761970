"""A fitted classifier: what prediction reads and a folder holds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scmomer.data import Cells
from scmomer.tasks.annotation._embedding_regression import EmbeddingRegression
from scmomer.tasks.annotation._expression_pcs import ExpressionPCs
from scmomer.tasks.annotation._gene_classifiers import GeneClassifiers
from scmomer.tasks.annotation._inputs import CellInputs, Settings
from scmomer.tasks.annotation._module import ClassifierModule
from scmomer.tasks.annotation._novelty import ClassMahalanobis
from scmomer.tasks.annotation._stacked_heads import StackedHeads
from scmomer.tasks.annotation._stacking import Stack


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
    class_report: pd.DataFrame
    """Measures of held-out reference cells by class."""
    mahalanobis: ClassMahalanobis
    pcs: ExpressionPCs | None
    embedding_regression: EmbeddingRegression
    gene_classifiers: GeneClassifiers | None
    stack: Stack
    """Of the heads, the regression on the embedding, and L2, L1 and component regression on genes."""
    target_sum: float
    """Counts per cell after normalization, for components that heads read."""
    network: dict[str, Tensor] = field(default_factory=dict)
    """Tensors of the network that fine-tuning changed."""
    fine_epoch: int = 0
    """Best epoch of fine-tuning; 0 if none improved."""

    def of_embedding(self) -> StackedHeads:
        """Return what is made of embeddings alone, with gradients, for ``inputs="embedding"``."""
        return StackedHeads(self.heads, self.embedding_regression, self.stack.of_embedding)

    def predict_proba(self, inputs: CellInputs, cells: Cells) -> np.ndarray:
        """Return the probability of each class, ``(n_cells, n_classes)``, float32."""
        with torch.no_grad():
            by_heads = self.heads(torch.from_numpy(inputs.values)).numpy()
        by_embedding = np.stack([by_heads, self.embedding_regression.predict_proba(inputs.z)])
        by_genes = None
        if self.gene_classifiers is not None:
            by_genes = self.gene_classifiers.predict_proba_cells(cells)
        return self.stack.predict_proba(by_embedding, by_genes)
