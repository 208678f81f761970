"""Start values of the protein modality."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scmomer.module import SCMOMERModule
from scmomer.nn import to_dense, to_rows

TRAIN = slice(150)


@pytest.fixture
def counts() -> sp.csr_matrix:
    """Overdispersed protein counts of cells of two types."""
    rng = np.random.default_rng(0)
    mean = np.exp(rng.normal(2, 1, (2, 10)))[np.arange(200) % 2] * rng.lognormal(0, 0.4, (200, 1))
    return sp.csr_matrix(rng.poisson(mean * rng.gamma(3, 1 / 3, mean.shape)).astype(np.float32))


@pytest.fixture
def module(make_module, counts) -> SCMOMERModule:
    """A network that starts at the first 150 cells."""
    module = make_module(20, 0, n_proteins=10, rna_encoder="mlp").eval()
    own = module.all_decoders("protein"), module.bridges_from("protein")
    module.modality("protein").init_from_data(counts[TRAIN], *own, warm_start=True)
    return module


@torch.no_grad()
def test_decoders_start_at_the_mean_profile(module, counts):
    average = counts[TRAIN].toarray().mean(0)
    decoders = module.all_decoders("protein")
    assert len(decoders) == 4
    for decoder in decoders:
        torch.nn.init.zeros_(decoder.linear.weight)
        found = decoder(torch.randn(3, 8), depth=torch.zeros(3)).exp()
        np.testing.assert_allclose(found, np.tile(average, (3, 1)), rtol=0.01)


def test_the_mean_profile_has_a_loss_of_one(module, counts):
    for decoder in module.all_decoders("protein"):
        torch.nn.init.zeros_(decoder.linear.weight)
        decoder.depth_slope.data.zero_()
    kind = module.modality("protein")
    loss = kind.relative_error(torch.zeros(150, 8), to_rows(counts[TRAIN]), None)
    assert loss.item() == pytest.approx(1.0, rel=1e-3)


@torch.no_grad()
def test_depth_is_standardized_over_training_cells(module, counts):
    logs = np.log1p(np.asarray(counts.sum(1)).ravel())
    depth = module.modality("protein").depth(to_rows(counts)).numpy()
    expected = (logs - logs[:150].mean()) / logs[:150].std()
    np.testing.assert_allclose(depth, expected, atol=1e-4)


@torch.no_grad()
def test_the_encoder_starts_at_principal_components(module, counts):
    kind = module.modality("protein")
    features = kind.normalize(to_rows(counts[TRAIN]))
    ratios = to_dense(features, 10).numpy()
    scaled = (ratios - ratios.mean(0)) / ratios.std(0)
    u, s, _ = np.linalg.svd(scaled, full_matrices=False)
    for parameter in kind.encoder.last.parameters():
        parameter.zero_()
    found = kind.encoder(features).cell[:, :4].numpy()
    for k in range(4):
        assert abs(np.corrcoef(found[:, k], u[:, k])[0, 1]) > 0.999
    assert found[:, 0].std() == pytest.approx(1.0, rel=0.01)


def test_bridges_standardize_log_ratios(module, counts):
    logs = np.log1p(counts[TRAIN].toarray())
    ratios = logs - logs.mean(1, keepdims=True)
    bridges = module.bridges_from("protein")
    assert len(bridges) == 4
    for bridge in bridges:
        np.testing.assert_allclose(bridge.scale, 1 / ratios.std(0), rtol=1e-4)
        np.testing.assert_allclose(bridge.shift, ratios.mean(0) / ratios.std(0), atol=1e-4)


def test_dispersions_follow_the_variance(module, counts):
    table = counts[TRAIN].toarray()
    expected = table.mean(0) ** 2 / (table.var(0) - table.mean(0))
    for decoder in module.all_decoders("protein"):
        found = decoder.log_dispersion.exp().detach()
        np.testing.assert_allclose(found, np.clip(expected, 0.1, 100), rtol=0.02)
