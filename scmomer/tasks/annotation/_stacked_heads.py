"""Classifiers on the embedding, combined in torch: with gradients."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from scmomer.tasks.annotation._embedding_regression import EmbeddingRegression
from scmomer.tasks.annotation._module import ClassifierModule
from scmomer.tasks.annotation._stacking import FLOOR


class StackedHeads(nn.Module):
    """What a classifier with ``inputs="embedding"`` makes of fused embeddings.

    Parameters
    ----------
    heads, regression
        Its parts; copied.
    weights
        Of both, ``(2,)``.
    """

    coef: Tensor
    intercept: Tensor
    weights: Tensor

    def __init__(
        self, heads: ClassifierModule, regression: EmbeddingRegression, weights: np.ndarray
    ):
        super().__init__()
        self.heads = copy.deepcopy(heads)
        self.register_buffer("coef", torch.tensor(regression.coef))
        self.register_buffer("intercept", torch.tensor(regression.intercept))
        self.register_buffer("weights", torch.tensor(weights).float())

    def forward(self, z: Tensor) -> Tensor:
        """Return the probabilities of the classes, ``(n, n_classes)``."""
        linear = (z @ self.coef + self.intercept).softmax(-1)
        parts = torch.stack([self.heads(z), linear], -1)  # (n, n_classes, 2)
        return (parts.clamp_min(FLOOR).log() @ self.weights).softmax(-1)
