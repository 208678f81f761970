"""Classification heads on cell embeddings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ClassifierConfig:
    """Sizes of the heads and how they are trained, each value with its reason.

    Chosen on SNARE-seq batches that no reported figure uses.
    """

    n_members: int = 5  # heads whose probabilities are averaged; each holds out a fold of its own
    hidden: int = 256  # of the first layer; the second has half of it
    dropout: float = 0.4
    noise: float = 0.6  # deviation of noise on standardised inputs: depth blurs unseen cells alike
    block_dropout: float = 0.1  # cells that lack translation heads, as those without RNA do
    label_smoothing: float = 0.05
    class_weight: float = 0.5  # power of the inverse frequency; 1 costs frequent types too much
    lr: float = 3e-3
    weight_decay: float = 1e-2
    max_epochs: int = 30
    patience: int = 6  # epochs without a better validation score before early stopping
    batch_size: int = 512  # less where there are few cells
    # Share of two classifiers on genes, unless held-out cells want another; 0: heads alone.
    gene_votes: float = 0.3
    fine_lr: float = 1e-4  # of fine-tuning
    fine_epochs: int = 5

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dictionary (JSON)."""
        return asdict(self)


class ClassifierHead(nn.Module):
    """Published head: three linear layers; between them GELU and dropout.

    Parameters
    ----------
    n_inputs, n_classes
        Sizes of input and output.
    n_sure
        Inputs that every cell has; the later ones are hidden from some cells in training, because
        a cell without RNA lacks them.
    config
        Widths and dropout.
    """

    def __init__(self, n_inputs: int, n_classes: int, n_sure: int, config: ClassifierConfig):
        super().__init__()
        self.n_sure, self.noise, self.hides = n_sure, config.noise, config.block_dropout
        hidden, half = config.hidden, config.hidden // 2
        self.layers = nn.Sequential(
            *(nn.Linear(n_inputs, hidden), nn.GELU(), nn.Dropout(config.dropout)),
            *(nn.Linear(hidden, half), nn.GELU(), nn.Dropout(config.dropout)),
            nn.Linear(half, n_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map standardised inputs ``(n, n_inputs)`` to logits ``(n, n_classes)``."""
        if self.training:
            x = x + self.noise * torch.randn_like(x)
            shown = torch.rand(len(x), 1, device=x.device) >= self.hides
            x = torch.cat([x[:, : self.n_sure], x[:, self.n_sure :] * shown], -1)
        return self.layers(x)


class ClassifierModule(nn.Module):
    """Standardisation and several heads that share nothing else.

    Parameters
    ----------
    n_inputs, n_classes, n_sure, config
        As in :class:`ClassifierHead`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, n_inputs: int, n_classes: int, n_sure: int, config: ClassifierConfig):
        super().__init__()
        self.n_sure, self.n_inputs, self.n_classes = n_sure, n_inputs, n_classes
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("std", torch.ones(n_inputs))
        heads = (
            ClassifierHead(n_inputs, n_classes, n_sure, config) for _ in range(config.n_members)
        )
        self.heads = nn.ModuleList(heads)

    @torch.no_grad()
    def standardise_by(self, x: Tensor) -> None:
        """Take mean and spread from the reference, ``(n, n_inputs)``; not a number is left out."""
        known = ~x.isnan()
        n = known.sum(0).clamp_min(1)
        self.mean.copy_(x.nan_to_num(0).sum(0) / n)
        variance = ((x - self.mean).nan_to_num(0) ** 2).sum(0) / n
        self.std.copy_(variance.sqrt().clamp_min(1e-6))

    def standardised(self, x: Tensor) -> Tensor:
        """Return inputs of mean 0 and spread 1; what a cell lacks is 0."""
        return ((x - self.mean) / self.std).nan_to_num(0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the heads' mean probabilities, ``(n, n_classes)``, of inputs ``(n, n_inputs)``."""
        x = self.standardised(x)
        return torch.stack([head(x).softmax(-1) for head in self.heads]).mean(0)


def class_weights(codes: Tensor, n_classes: int, power: float) -> Tensor:
    """Return a weight for each class that grows as it gets rarer, ``(n_classes,)``; mean cell 1."""
    counts = torch.bincount(codes, minlength=n_classes).clamp_min(1).float()
    weights = (counts.mean() / counts) ** power
    return weights * counts.sum() / (weights * counts).sum()


def head_loss(logits: Tensor, codes: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return weighted cross-entropy of ``(n, n_classes)`` logits."""
    return F.cross_entropy(logits, codes, weight=weights, label_smoothing=smoothing)
