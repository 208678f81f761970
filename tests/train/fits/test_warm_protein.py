"""Start values of the protein modality."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scmomer.data import Cells
from scmomer.module import SCMOMERModule, get_config
from scmomer.nn import to_rows
from scmomer.nn import to_dense
from scmomer.train import warm_start
from scmomer.train._objectives import reconstruction


@pytest.fixture
def counts() -> dict[str, sp.csr_matrix]:
    """Overdispersed protein counts of cells of two types, and some RNA."""
    rng = np.random.default_rng(0)
    mean = np.exp(rng.normal(2, 1, (2, 10)))[np.arange(200) % 2] * rng.lognormal(0, 0.4, (200, 1))
    protein = rng.poisson(mean * rng.gamma(3, 1 / 3, mean.shape)).astype(np.float32)
    rna = rng.poisson(1.0, (200, 20)).astype(np.float32)
    return {"rna": sp.csr_matrix(rna), "protein": sp.csr_matrix(protein)}


@pytest.fixture
def module(counts) -> SCMOMERModule:
    """A network that starts at the first 150 cells."""
    torch.manual_seed(0)
    config = get_config("small", n_latent=8, rna_encoder="mlp", bridge_hidden=16)
    module = SCMOMERModule(20, None, 1, config, n_proteins=10).eval()
    cells = Cells(counts, {m: np.ones(200, bool) for m in counts})
    warm_start(module, cells, np.arange(150))
    return module


@torch.no_grad()
def test_decoders_start_at_the_mean_profile(module, counts):
    average = counts["protein"][:150].toarray().mean(0)
    decoders = module.decoders_of("protein")
    assert len(decoders) == 4
    for decoder in decoders:
        torch.nn.init.zeros_(decoder.linear.weight)
        said = decoder(torch.randn(3, 8), depth=torch.zeros(3)).exp()
        np.testing.assert_allclose(said, np.tile(average, (3, 1)), rtol=0.01)


def test_the_mean_profile_has_a_loss_of_one(module, counts):
    tensors = {"protein": to_rows(counts["protein"][:150])}
    for decoder in module.decoders_of("protein"):
        torch.nn.init.zeros_(decoder.linear.weight)
        decoder.depth_slope.data.zero_()
    loss = reconstruction(module, "protein", torch.zeros(150, 8), tensors)
    assert loss.item() == pytest.approx(1.0, rel=1e-3)


@torch.no_grad()
def test_depth_is_standardized_over_training_cells(module, counts):
    logs = np.log1p(np.asarray(counts["protein"].sum(1)).ravel())
    depth = module.depth(to_rows(counts["protein"]), "protein").numpy()
    expected = (logs - logs[:150].mean()) / logs[:150].std()
    np.testing.assert_allclose(depth, expected, atol=1e-4)


@torch.no_grad()
def test_the_encoder_starts_at_principal_components(module, counts):
    features = module.normalize("protein", to_rows(counts["protein"][:150]))
    ratios = to_dense(features, 10).numpy()
    scaled = (ratios - ratios.mean(0)) / ratios.std(0)
    u, s, _ = np.linalg.svd(scaled, full_matrices=False)
    encoder = module.encoder("protein")
    for parameter in (encoder.last.weight, encoder.last.bias):
        parameter.zero_()
    found = encoder(features).cell[:, :4].numpy()
    for k in range(4):
        assert abs(np.corrcoef(found[:, k], u[:, k])[0, 1]) > 0.999
    assert found[:, 0].std() == pytest.approx(1.0, rel=0.01)


def test_bridges_standardize_log_ratios(module, counts):
    logs = np.log1p(counts["protein"][:150].toarray())
    ratios = logs - logs.mean(1, keepdims=True)
    bridges = [module.bridge_from("protein"), *(h.bridge for h in module.heads_from("protein"))]
    for bridge in bridges:
        np.testing.assert_allclose(bridge.scale, 1 / ratios.std(0), rtol=1e-4)
        np.testing.assert_allclose(bridge.shift, ratios.mean(0) / ratios.std(0), atol=1e-4)


def test_dispersions_follow_the_variance(module, counts):
    table = counts["protein"][:150].toarray()
    expected = table.mean(0) ** 2 / (table.var(0) - table.mean(0))
    found = module.decoders["protein"].log_dispersion.exp().detach().numpy()
    np.testing.assert_allclose(found, np.clip(expected, 0.1, 100), rtol=0.02)
