"""Losses on sparse targets, without storing cells x peaks."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from scvi.distributions import NegativeBinomial
from torch import Tensor

from scmomer.nn._rows import SparseRows, row_sums, to_dense, waits_for

_CHUNK_ELEMENTS = 2**22  # logits in memory: 16 MB in fp32, fits a CPU's last-level cache
_CHUNK_ON_GPU = 2**27  # all peaks of a thousand cells: picking those of a chunk would wait
_MAX_LOG = 15.0  # of expected counts: three million


class _LinearBCE(torch.autograd.Function):
    """Binary cross-entropy of ``z @ weight.T`` against open peaks, with its gradients.

    Both gradients are computed chunk by chunk in the forward pass, so that neither logits nor
    targets of all peaks are ever in memory.
    """

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, weight: Tensor, rows: Tensor, peaks: Tensor, pos_weight: float
    ) -> Tensor:
        n, n_peaks = z.shape[0], weight.shape[0]
        need_z, need_weight = ctx.needs_input_grad[:2]
        grad_z = torch.zeros_like(z) if need_z else None
        grad_weight = torch.empty_like(weight) if need_weight else None
        total = z.new_zeros(())
        limit = _CHUNK_ON_GPU if waits_for(z) else _CHUNK_ELEMENTS
        step = max(1, limit // max(n, 1))
        for start in range(0, n_peaks, step):
            part = weight[start : start + step]
            here = (peaks >= start) & (peaks < start + step) if step < n_peaks else slice(None)
            hit = rows[here], peaks[here] - start
            logits = z @ part.T  # (n, step)
            positive = logits[hit]
            total += F.softplus(logits).sum() - F.softplus(positive).sum()
            total += pos_weight * F.softplus(-positive).sum()
            if not (need_z or need_weight):
                continue
            grad = logits.sigmoid_()
            grad[hit] = pos_weight * (positive.sigmoid() - 1)
            if grad_z is not None:
                grad_z.addmm_(grad, part)
            if grad_weight is not None:
                torch.mm(grad.T, z, out=grad_weight[start : start + step])
        ctx.save_for_backward(grad_z, grad_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_z, grad_weight = ctx.saved_tensors
        scale = grads[0]
        return (
            None if grad_z is None else grad_z * scale,
            None if grad_weight is None else grad_weight * scale,
            None,
            None,
            None,
        )


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
        z = z.to(weight.dtype)
        total = _LinearBCE.apply(z, weight, targets.row_ids, targets.indices, pos_weight)
    return torch.as_tensor(total) / max(z.shape[0], 1)


def sparse_mse(prediction: Tensor, targets: SparseRows, weight: Tensor) -> Tensor:
    """Return the mean over cells of the summed, weighted squared error against sparse targets.

    Parameters
    ----------
    prediction
        Shape ``(n, n_features)``.
    targets
        Rows whose missing entries are zeros.
    weight
        Weight of each feature, shape ``(n_features,)``.
    """
    at_stored = prediction[targets.row_ids, targets.indices]  # (nnz,)
    stored = targets.values * (targets.values - 2 * at_stored) * weight[targets.indices]
    total = (prediction.square() @ weight).sum() + stored.sum()
    return total / max(prediction.shape[0], 1)


def multinomial(logits: Tensor, counts: SparseRows) -> Tensor:
    """Return the mean over cells of the negative log likelihood of counts given their total.

    Parameters
    ----------
    logits
        Log shares up to a constant for each cell, shape ``(n, n_features)``.
    counts
        Raw counts of the `n` cells.
    """
    at_stored = logits[counts.row_ids, counts.indices]  # (nnz,)
    totals = row_sums(counts)
    loss = (totals * logits.logsumexp(-1)).sum() - (counts.values * at_stored).sum()
    return loss / max(logits.shape[0], 1)


def negative_binomial(log_mean: Tensor, log_dispersion: Tensor, counts: SparseRows) -> Tensor:
    """Return the mean over cells of the negative binomial's negative log likelihood.

    Parameters
    ----------
    log_mean
        Log of the expected counts, shape ``(n, n_features)``.
    log_dispersion
        Log of the inverse dispersion of each feature, shape ``(n_features,)``; the variance is
        ``mean + mean ** 2 / dispersion``.
    counts
        Raw counts of the `n` cells.
    """
    mean = log_mean.clamp_max(_MAX_LOG).exp()
    likelihood = NegativeBinomial(mu=mean, theta=log_dispersion.exp(), validate_args=False)
    found = likelihood.log_prob(to_dense(counts, log_mean.shape[1]))  # (n, n_features)
    return -found.sum() / max(log_mean.shape[0], 1)
