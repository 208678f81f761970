"""Dropout of large inputs that need no gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_LEVELS = 256  # of a random byte


def drop_values(x: Tensor, fraction: float) -> Tensor:
    """Set a random `fraction` of the values to zero and scale up the others, in place on a CPU.

    torch's dropout draws a number for each value, one after the other, which takes as long on a
    CPU as a layer of a network. A byte is enough if the fraction is rounded to 1 / 256.

    Parameters
    ----------
    x
        Any shape; without a gradient.
    fraction
        At least 0 and less than 1.
    """
    n_dropped = min(round(fraction * _LEVELS), _LEVELS - 1)
    if x.device.type != "cpu" or x.requires_grad or not n_dropped:
        return F.dropout(x, fraction)
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    draws = words.view(torch.uint8)[: x.numel()].view(x.shape)
    return x.mul_(draws.ge_(n_dropped)).mul_(_LEVELS / (_LEVELS - n_dropped))
