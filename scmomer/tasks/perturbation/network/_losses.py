"""Losses of the network."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_FOCUS: Final = 2.0
_DIRECTION: Final = 0.1
_SHARPNESS: Final = 10.0


def focus_loss(predicted: Tensor, truth: Tensor, scale: Tensor) -> Tensor:
    """Return the mean error, in which large errors count more (autofocus of GEARS).

    Parameters
    ----------
    predicted, truth
        Changes, ``(n_rows, n_genes)``.
    scale
        Typical change of each gene, ``(n_genes,)``: errors are relative to it, so that the focus
        does not depend on the units.
    """
    error = ((predicted - truth) / scale).abs()
    return (error**2 * (1 + error**_FOCUS)).mean()


def direction_loss(predicted: Tensor, truth: Tensor, scale: Tensor) -> Tensor:
    """Return how much directions of change differ, 0 to 4.

    GEARS compares signs, whose gradient is zero; ``tanh`` of changes has one.
    """
    signs = [torch.tanh(_SHARPNESS * x / scale) for x in (predicted, truth)]
    return ((signs[0] - signs[1]) ** 2).mean()


def network_loss(predicted: Tensor, truth: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return both, for changes about a mean; directions are those of the whole change."""
    return focus_loss(predicted, truth, scale) + _DIRECTION * direction_loss(
        predicted + mean, truth + mean, scale
    )
