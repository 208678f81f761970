"""Losses of linear maps, with their gradients, without storing cells x features.

Decoders are one product, ``z @ weight.T``, and features are many. So the loss and both of its
gradients are computed in the forward pass, some features at a time, while these are in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scmomer.nn._rows import SparseRows

# Products in memory at a time: on a CPU they share the cache with the rest, on a GPU all fit.
_CHUNK_ELEMENTS = {"cpu": 2**19, "cuda": 2**27}

Piece = Callable[[Tensor, slice], Tensor]
"""Returns the summed loss of ``z @ weight[part].T``, which it replaces by its gradient."""


class _LinearLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor, piece: Piece, step: int) -> Tensor:
        n, n_features = z.shape[0], weight.shape[0]
        need_z, need_weight = ctx.needs_input_grad[:2]
        grad_z = torch.zeros_like(z) if need_z else None
        grad_weight = torch.empty_like(weight) if need_weight else None
        total = z.new_zeros(())
        memory = z.new_empty(n * min(step, n_features))
        for start in range(0, n_features, step):
            part = slice(start, min(start + step, n_features))
            own = weight[part]
            values = memory[: n * len(own)].view(n, len(own))
            torch.mm(z, own.T, out=values)
            total += piece(values, part)
            if grad_z is not None:
                grad_z.addmm_(values, own)
            if grad_weight is not None:
                torch.mm(values.T, z, out=grad_weight[part])
        ctx.save_for_backward(grad_z, grad_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scale = grads[0]
        grad_z, grad_weight = (None if g is None else g * scale for g in ctx.saved_tensors)
        return grad_z, grad_weight, None, None


def _step(z: Tensor) -> int:
    """Return how many features are computed at a time."""
    elements = _CHUNK_ELEMENTS.get(z.device.type, _CHUNK_ELEMENTS["cuda"])
    return max(1, elements // max(1, z.shape[0]))


def _mean(z: Tensor, weight: Tensor, piece: Piece) -> Tensor:
    """Return the loss, a mean over cells."""
    total = _LinearLoss.apply(z, weight, piece, _step(z))
    return torch.as_tensor(total) / max(z.shape[0], 1)


def _entries_by_part(indices: Tensor, step: int, n_features: int) -> list[Tensor]:
    """Return which entries have their feature in each part of `step` features."""
    n_parts = -(-n_features // step)
    if n_parts <= 1:
        return [torch.arange(len(indices), device=indices.device)]
    number = indices // step
    n_entries = torch.bincount(number, minlength=n_parts).tolist()
    if number.device.type != "cpu":
        return list(torch.argsort(number, stable=True).split(n_entries))
    narrow = number.numpy().astype(np.min_scalar_type(n_parts))  # numpy sorts these in linear time
    return list(torch.from_numpy(np.argsort(narrow, kind="stable")).split(n_entries))


def linear_bce(z: Tensor, weight: Tensor, targets: SparseRows, pos_weight: float = 1.0) -> Tensor:
    """Return the mean over cells of the summed binary cross-entropy of all peaks.

    Equals ``binary_cross_entropy_with_logits(z @ weight.T, targets > 0, pos_weight=...)``
    summed over peaks and averaged over cells.

    Parameters
    ----------
    z
        Shape ``(n, d)``.
    weight
        Shape ``(n_peaks, d)``.
    targets
        Open peaks of the `n` cells; every stored entry is an open peak.
    pos_weight
        Weight of the open entries.
    """
    with torch.autocast(z.device.type, enabled=False):  # sums over all peaks stay in fp32
        z, step = z.to(weight.dtype), _step(z)
        rows, peaks = targets.row_ids, targets.indices
        entries = _entries_by_part(peaks, step, weight.shape[0])

        def piece(logits: Tensor, part: slice) -> Tensor:
            here = entries[part.start // step]
            hit = rows[here] * logits.shape[1] + peaks[here] - part.start
            positive = logits.view(-1)[hit]
            total = F.softplus(logits).sum() - F.softplus(positive).sum()
            total += pos_weight * F.softplus(-positive).sum()
            logits.sigmoid_().view(-1)[hit] = pos_weight * (positive.sigmoid() - 1)
            return total

        return _mean(z, weight, piece)


def linear_mse(z: Tensor, weight: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
    """Return the mean over cells of the summed, weighted squared error of all features.

    Parameters
    ----------
    z
        Shape ``(n, d)``.
    weight
        Shape ``(n_features, d)``.
    targets
        Shape ``(n, n_features)``.
    scale
        Weight of each feature's error, shape ``(n_features,)``.
    """
    with torch.autocast(z.device.type, enabled=False):
        z = z.to(weight.dtype)

        def piece(values: Tensor, part: slice) -> Tensor:
            values -= targets[:, part]
            error = values * scale[part]
            total = (values * error).sum()
            torch.mul(error, 2, out=values)
            return total

        return _mean(z, weight, piece)


def linear_multinomial(z: Tensor, weight: Tensor, counts: Tensor) -> Tensor:
    """Return :func:`multinomial` of the logits ``z @ weight.T``.

    Parameters
    ----------
    z
        Shape ``(n, d)``.
    weight
        Shape ``(n_features, d)``.
    counts
        Raw counts, shape ``(n, n_features)``.
    """
    with torch.autocast(z.device.type, enabled=False):
        z, totals = z.to(weight.dtype), counts.sum(-1, keepdim=True)  # (n, 1)

        def piece(logits: Tensor, part: slice) -> Tensor:
            top = logits.amax(-1, keepdim=True)
            stored = (logits * counts).sum()
            shares = logits.sub_(top).exp_()
            sums = shares.sum(-1, keepdim=True)  # (n, 1)
            total = (totals * (sums.log() + top)).sum() - stored
            shares.mul_(totals / sums).sub_(counts)
            return total

        total = _LinearLoss.apply(z, weight, piece, max(1, weight.shape[0]))  # shares sum to one
        return torch.as_tensor(total) / max(z.shape[0], 1)
