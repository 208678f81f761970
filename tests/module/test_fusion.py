"""Fusion and discriminator against their plain formulas."""

from __future__ import annotations

import pytest
import torch

from scmomer.module._fusion import Discriminator, Fusion


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_fusion_is_published_atac_first():
    fusion, z_rna, z_atac = Fusion(4), torch.randn(3, 4), torch.randn(3, 4)
    weight, bias = fusion.to_out.weight, fusion.to_out.bias
    expected = z_atac @ weight[:, :4].T + z_rna @ weight[:, 4:].T + bias
    torch.testing.assert_close(fusion(z_rna, z_atac), expected)


@pytest.mark.parametrize("n_latent", [8, 7, 2])
def test_fusion_can_start_as_concatenation(n_latent):
    fusion, half = Fusion(n_latent), n_latent // 2
    torch.nn.init.zeros_(fusion.to_out.weight)
    torch.nn.init.zeros_(fusion.to_out.bias)
    fusion.init_concatenation()
    z_rna, z_atac = torch.randn(3, n_latent), torch.randn(3, n_latent)
    z = fusion(z_rna, z_atac)
    torch.testing.assert_close(z[:, : 2 * half], torch.cat([z_rna[:, :half], z_atac[:, :half]], 1))


@torch.no_grad()
def test_three_modalities_start_as_concatenation_too():
    fusion = Fusion(6, 3)
    torch.nn.init.zeros_(fusion.to_out.weight)
    torch.nn.init.zeros_(fusion.to_out.bias)
    fusion.init_concatenation()
    parts = torch.randn(3, 4, 6)
    torch.testing.assert_close(fusion(*parts), torch.cat([part[:, :2] for part in parts], 1))


def test_a_discriminator_of_published_size():
    """method.md A4: 128-64-2."""
    shapes = [tuple(p.shape) for p in Discriminator(128).parameters()]
    assert shapes == [(64, 128), (64,), (2, 64), (2,)]
    assert Discriminator(128)(torch.randn(5, 128)).shape == (5, 2)
