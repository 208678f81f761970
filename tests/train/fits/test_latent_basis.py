"""The fused embedding in the units of decoded expression."""

from __future__ import annotations

import pytest
import torch

from scmomer.module import SCMOMERModule, get_config
from scmomer.train.fits._latent_basis import measure_by_expression


@pytest.fixture(params=[{}, {"rna_scale_genes": False}])
def module(make_module, request):
    """A network in which everything that touches the embedding has random weights."""
    made = make_module(n_batches=2, **request.param).eval()
    for part in (made.fusion, made.decoders, made.rate_decoder, made.discriminator):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter)
    for decoder in made.decoders_of("rna"):
        decoder.scale = None if decoder.scale is None else torch.rand_like(decoder.scale) + 0.5
    made.gene_weight.uniform_(0.5, 2)
    torch.nn.init.normal_(made.depth_head("atac").weight, std=0.1)
    return made


def said(module, embedded, sizes) -> list[torch.Tensor]:
    """Everything that reads the fused embedding."""
    z = module.fuse(embedded)
    batch = torch.tensor([0, 1] * 3)
    every = [module.decoder(m)(z, batch) for m in module.decoders]
    depth = module.depth_head("atac")(z, sizes)
    return [*every, module.rate_decoder(z), module.discriminator(z), depth]


def test_nothing_else_changes(module):
    embedded = {m: torch.randn(6, 8) for m in ("rna", "atac")}
    sizes = torch.randn(6, 2)
    before, z = said(module, embedded, sizes), module.fuse(embedded)
    measure_by_expression(module)
    assert not torch.allclose(module.fuse(embedded), z)
    for now, then in zip(said(module, embedded, sizes), before, strict=True):
        torch.testing.assert_close(now, then, rtol=1e-3, atol=1e-3)


def test_distances_are_those_of_decoded_expression(module):
    measure_by_expression(module)
    z = torch.randn(6, 8)
    decoded = module.decoder("rna")(z) * module.gene_weight.sqrt()
    torch.testing.assert_close(
        torch.cdist(z, z), torch.cdist(decoded, decoded), rtol=1e-3, atol=1e-3
    )


def test_twice_is_once(module):
    measure_by_expression(module)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    measure_by_expression(module)
    for name, now in module.state_dict().items():
        torch.testing.assert_close(now, before[name], rtol=1e-3, atol=1e-3)


def test_directions_that_expression_ignores_stay_visible(make_module):
    module = make_module().eval()
    slopes = module.decoder("rna").linear.weight
    torch.nn.init.normal_(slopes)
    with torch.no_grad():
        slopes[:, 3:] = 0
    embedded = {m: torch.randn(50, 8) for m in ("rna", "atac")}
    before = module.decoder("atac")(module.fuse(embedded))
    measure_by_expression(module)
    z = module.fuse(embedded)
    assert z.isfinite().all() and torch.linalg.matrix_rank(z - z.mean(0)) == 8
    torch.testing.assert_close(module.decoder("atac")(z), before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sizes", [{"n_genes": 0}, {"n_peaks": 0}])
def test_networks_of_one_modality_stay_as_they_are(make_module, sizes):
    module = make_module(**sizes)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    measure_by_expression(module)
    for name, now in module.state_dict().items():
        assert torch.equal(now, before[name])


def test_networks_with_protein_keep_their_units(make_layout):
    config = get_config("small", n_latent=8, atac_n_patches=6)
    module = SCMOMERModule(30, make_layout(40, 6), 1, config, n_proteins=12)
    before = module.fusion.to_out.weight.clone()
    measure_by_expression(module)
    assert torch.equal(module.fusion.to_out.weight, before)


def test_a_decoder_that_says_nothing_is_no_unit(make_module):
    module = make_module()
    torch.nn.init.zeros_(module.decoder("rna").linear.weight)
    before = module.fusion.to_out.weight.clone()
    measure_by_expression(module)
    assert torch.equal(module.fusion.to_out.weight, before)
