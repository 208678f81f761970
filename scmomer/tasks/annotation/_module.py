"""Classification heads on cell embeddings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ClassifierConfig:
    """Sizes of the heads and their training, chosen on SNARE-seq batches that no figure uses."""

    n_members: int = 5  # heads whose probabilities are averaged; each holds out its own fold
    hidden: int = 256  # width of the first layer; the second has half of it
    dropout: float = 0.4
    noise: float = 0.6  # standard deviation on standardized inputs, like depth in unseen cells
    block_dropout: float = 0.1  # share of cells trained as if they had no RNA
    label_smoothing: float = 0.05
    class_weight: float = 0.5  # power of the inverse frequency; 1 costs frequent types too much
    lr: float = 3e-3
    weight_decay: float = 1e-2
    max_epochs: int = 30
    patience: int = 6  # epochs without a better validation score before early stopping
    batch_size: int = 512  # smaller for few cells
    fine_lr: float = 1e-4  # of fine-tuning
    fine_epochs: int = 5

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dictionary (JSON)."""
        return asdict(self)


class ClassifierHead(nn.Module):
    """Published head: three linear layers with GELU and dropout between them.

    Parameters
    ----------
    n_inputs, n_classes
        Sizes of input and output.
    n_always_present
        Number of inputs, from the first, that every cell has. Training sets the later ones, which
        cells without RNA lack, to zero in some cells.
    config
        Widths and dropout.
    """

    def __init__(
        self, n_inputs: int, n_classes: int, n_always_present: int, config: ClassifierConfig
    ):
        super().__init__()
        self.n_always_present = n_always_present
        self.noise, self.block_dropout = config.noise, config.block_dropout
        hidden, half = config.hidden, config.hidden // 2
        self.layers = nn.Sequential(
            *(nn.Linear(n_inputs, hidden), nn.GELU(), nn.Dropout(config.dropout)),
            *(nn.Linear(hidden, half), nn.GELU(), nn.Dropout(config.dropout)),
            nn.Linear(half, n_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map standardized inputs ``(n, n_inputs)`` to logits ``(n, n_classes)``."""
        if self.training:
            x = x + self.noise * torch.randn_like(x)
            kept = torch.rand(len(x), 1, device=x.device) >= self.block_dropout
            n = self.n_always_present
            x = torch.cat([x[:, :n], x[:, n:] * kept], -1)
        return self.layers(x)


class ClassifierModule(nn.Module):
    """Standardization and independent heads; arguments as in :class:`ClassifierHead`."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, n_inputs: int, n_classes: int, n_always_present: int, config: ClassifierConfig
    ):
        super().__init__()
        sizes = n_inputs, n_classes, n_always_present
        self.n_inputs, self.n_classes, self.n_always_present = sizes
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("std", torch.ones(n_inputs))
        heads = (ClassifierHead(*sizes, config) for _ in range(config.n_members))
        self.heads = nn.ModuleList(heads)

    @torch.no_grad()
    def fit_standardization(self, x: Tensor) -> None:
        """Store mean and standard deviation of the reference, ``(n, n_inputs)``; ignores NaN."""
        known = ~x.isnan()
        n = known.sum(0).clamp_min(1)
        self.mean.copy_(x.nan_to_num(0).sum(0) / n)
        variance = ((x - self.mean).nan_to_num(0) ** 2).sum(0) / n
        self.std.copy_(variance.sqrt().clamp_min(1e-6))

    def standardize(self, x: Tensor) -> Tensor:
        """Return inputs with mean 0 and standard deviation 1; NaN becomes 0."""
        return ((x - self.mean) / self.std).nan_to_num(0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the heads' mean probabilities, ``(n, n_classes)``, of inputs ``(n, n_inputs)``."""
        x = self.standardize(x)
        return torch.stack([head(x).softmax(-1) for head in self.heads]).mean(0)


def class_weights(codes: Tensor, n_classes: int, power: float) -> Tensor:
    """Return class weights, larger for rare classes, ``(n_classes,)``; the mean over cells is 1."""
    counts = torch.bincount(codes, minlength=n_classes).clamp_min(1).float()
    weights = (counts.mean() / counts) ** power
    return weights * counts.sum() / (weights * counts).sum()


def head_loss(logits: Tensor, codes: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the weighted cross-entropy of ``(n, n_classes)`` logits."""
    return F.cross_entropy(logits, codes, weight=weights, label_smoothing=smoothing)
