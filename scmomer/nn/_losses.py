"""Losses on sparse targets."""

from __future__ import annotations

from scvi.distributions import NegativeBinomial
from torch import Tensor

from scmomer.nn._rows import SparseRows, row_sums, to_dense

_MAX_LOG = 15.0  # of expected counts: three million


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
