"""The protein modality: log ratios, encoder, decoder, likelihood."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from scmomer.module import ProteinConfig, ProteinDecoder, ProteinEncoder
from scmomer.module.modalities.protein._encoder import centered_log_ratio
from scmomer.nn import negative_binomial, to_dense


@pytest.fixture
def table(counts) -> torch.Tensor:
    """Counts of 9 cells and 12 proteins; one cell has none."""
    return counts(9, 12, density=0.8, empty=(4,))


@pytest.fixture
def encoder() -> ProteinEncoder:
    """An untrained encoder of 12 proteins."""
    torch.manual_seed(0)
    return ProteinEncoder(12, ProteinConfig(hidden=16), 8, "none").eval()


def test_log_ratios_are_centered_in_each_cell(table, sparse):
    found = centered_log_ratio(sparse(table), 12)
    logs = np.log1p(table.numpy())
    expected = logs - logs.mean(1, keepdims=True)
    np.testing.assert_allclose(to_dense(found, 12), expected, atol=1e-6)
    assert found.lengths.tolist() == [12] * 9  # zeros are values too
    deeper = centered_log_ratio(sparse(torch.full((1, 12), 7.0)), 12)
    assert to_dense(deeper, 12).abs().max() < 1e-6


def test_the_likelihood_is_that_of_scipy(table, sparse):
    rng = np.random.default_rng(0)
    log_mean, log_dispersion = rng.normal(1, 1, (9, 12)), rng.normal(0, 1, 12)
    found = negative_binomial(*map(torch.from_numpy, (log_mean, log_dispersion)), sparse(table))
    mean, theta = np.exp(log_mean), np.exp(log_dispersion)
    each = stats.nbinom.logpmf(table.numpy(), theta, theta / (theta + mean))
    assert float(found) == pytest.approx(-each.sum() / 9, rel=1e-5)


def test_an_absurd_mean_stays_finite(table, sparse):
    log_mean = torch.full((9, 12), 1e4, requires_grad=True)
    loss = negative_binomial(log_mean, torch.zeros(12), sparse(table))
    loss.backward()
    assert loss.isfinite() and log_mean.grad.isfinite().all()


def test_an_encoder_starts_near_a_linear_map(encoder, table, sparse):
    weights, bias = torch.randn(12, 3), torch.randn(3)
    encoder.init_linear(weights, bias)
    features = centered_log_ratio(sparse(table), 12)
    expected = to_dense(features, 12) @ weights + bias
    found = encoder(features).cell[:, :3]
    assert (found - expected).abs().max() < 0.2 * expected.std()


def test_hidden_proteins_count_as_average_ones(encoder, table, sparse):
    features = centered_log_ratio(sparse(table), 12)
    mean, std = torch.randn(12), torch.rand(12) + 0.5
    encoder.standardize(mean, std)
    encoded, loss = encoder.masked(features, 1.0)  # all hidden: every cell looks the same
    assert (encoded.cell - encoded.cell[0]).abs().max() < 1e-6
    values = (to_dense(features, 12) - mean) / std
    expected = (encoder.guess(encoder.between(encoder.first(torch.zeros(9, 12)))) - values).square()
    torch.testing.assert_close(loss, expected.mean())
    shown, none = encoder.masked(features, 0.0)
    torch.testing.assert_close(shown.cell, encoder(features).cell)
    assert none == 0


def test_a_decoder_has_a_depth_slope_batches_and_dispersions():
    decoder = ProteinDecoder(8, 12, 2)
    decoder.init_mean(torch.arange(12.0))
    torch.nn.init.zeros_(decoder.linear.weight)
    found = decoder(torch.randn(5, 8), torch.tensor([0, 1, -1, 0, 1]), torch.full((5,), 2.0))
    torch.testing.assert_close(found, (torch.arange(12.0) + 2.0).expand(5, -1))
    assert decoder.log_dispersion.shape == (12,) and decoder.batch_bias.shape == (12, 2)
