"""Configuration of surface protein."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scmomer.module._config import StageConfig


@dataclass(frozen=True)
class ProteinConfig:
    """Protein encoder: a perceptron on centered log ratios, beside a linear map of them."""

    encoder: Literal["mlp", "custom"] = "mlp"
    hidden: int = 128
    dropout: float = 0.3


PRESETS = {"small": (ProteinConfig(), StageConfig(min_steps=200))}
