"""Fusion, bridge, decoder and discriminator against their plain formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scmomer.module._bridge import Bridge
from scmomer.module._decoder import Decoder
from scmomer.module._fusion import Discriminator, Fusion
from scmomer.nn import to_dense


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
    fusion.keep_leading_parts()
    z_rna, z_atac = torch.randn(3, n_latent), torch.randn(3, n_latent)
    z = fusion(z_rna, z_atac)
    torch.testing.assert_close(z[:, : 2 * half], torch.cat([z_rna[:, :half], z_atac[:, :half]], 1))


def decoder(n_batches: int, depth_term: bool) -> Decoder:
    """A decoder of five features with random weights everywhere."""
    made = Decoder(4, 5, n_batches, depth_term)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


@pytest.mark.parametrize("depth_term", [False, True])
@pytest.mark.parametrize("n_batches", [0, 1, 2, 3])
def test_decoder_is_its_plain_formula(n_batches, depth_term):
    made = decoder(n_batches, depth_term)
    z, depth = torch.randn(6, 4), torch.randn(6)
    batch = torch.tensor([0, 1, 2, 0, -1, -1]).clamp_max(max(n_batches - 1, 0))
    expected = z @ made.linear.weight.T + made.linear.bias
    if depth_term:
        expected = expected + depth[:, None] * made.depth_slope[:, 0]
    if n_batches > 1:
        bias = torch.cat([made.batch_bias.T, made.batch_bias.mean(1)[None]])  # -1: the average
        expected = expected + bias[batch]
    torch.testing.assert_close(made(z, batch, depth), expected)


@pytest.mark.parametrize("n_batches", [1, 3])
def test_decoder_without_batch_or_depth_speaks_of_the_average(n_batches):
    made, z = decoder(n_batches, True), torch.randn(6, 4)
    unknown = torch.full((6,), -1)
    torch.testing.assert_close(made(z), made(z, unknown, torch.zeros(6)))
    each = [made(z, torch.full((6,), b)) for b in range(n_batches)]
    torch.testing.assert_close(made(z), torch.stack(each).mean(0))


@pytest.mark.parametrize("columns", [slice(1, 4), torch.tensor([4, 0, 0])], ids=["slice", "index"])
def test_decoder_of_some_features(columns):
    made, z = decoder(3, True), torch.randn(6, 4)
    batch, depth = torch.arange(6) % 3, torch.randn(6)
    found = made(z, batch, depth, columns)
    torch.testing.assert_close(found, made(z, batch, depth)[:, columns])


def test_decoder_starts_at_the_mean():
    made, mean = Decoder(4, 5, 2, False), torch.randn(5)
    made.start_at(mean)
    torch.testing.assert_close(made(torch.zeros(2, 4)), mean.expand(2, -1))


def test_a_scaled_decoder_starts_at_the_mean():
    made, mean, spread = Decoder(4, 5, 2, False, scaled=True), torch.randn(5), torch.rand(5) + 0.1
    made.start_at(mean, spread)
    torch.testing.assert_close(made(torch.zeros(2, 4)), mean.expand(2, -1))
    assert torch.equal(made.scale[:, 0], spread)


@pytest.mark.parametrize("columns", [slice(None), torch.tensor([4, 0, 0])], ids=["all", "some"])
def test_parameters_of_a_scaled_decoder_are_in_units_of_the_spread(columns):
    plain, z = decoder(3, True), torch.randn(6, 4)
    made, spread = Decoder(4, 5, 3, True, scaled=True), torch.rand(5) + 0.1
    made.start_at(torch.zeros(5), spread)
    made.load_state_dict({**plain.state_dict(), "scale": made.scale})
    torch.testing.assert_close(made.weights(columns), (plain.weights() * spread[:, None])[columns])
    batch, depth = torch.arange(6) % 3, torch.randn(6)
    expected = (plain(z, batch, depth) * spread)[:, columns]
    torch.testing.assert_close(made(z, batch, depth, columns), expected)


def test_only_a_scaled_decoder_has_units():
    plain, scaled = Decoder(4, 5, 2, False), Decoder(4, 5, 2, False, scaled=True)
    assert set(scaled.state_dict()) - set(plain.state_dict()) == {"scale"}
    assert "scale" not in plain.state_dict() and plain.scale is None
    assert torch.equal(scaled.scale, torch.ones(5, 1))
    mean = torch.randn(5)
    for made in (plain, scaled):  # without a spread, and where there are no units
        made.start_at(mean)
        torch.testing.assert_close(made(torch.zeros(1, 4))[0], mean)
    plain.start_at(mean, torch.full((5,), 7.0))
    torch.testing.assert_close(plain(torch.zeros(1, 4))[0], mean)


def make_bridge(source: str) -> Bridge:
    """A bridge of ten features with heavy dropout."""
    return Bridge(10, 4, 4, 16, dropout=0.5, input_dropout=0.5, source=source)


@pytest.mark.parametrize(
    ("source", "reads"),
    [("embedding", {"cell"}), ("expression", {"features"}), ("both", {"cell", "features"})],
)
def test_bridge_reads_its_sources(counts, sparse, source, reads):
    bridge = make_bridge(source).eval()
    cell, other = torch.randn(5, 4), torch.randn(5, 4)
    one, two = sparse(counts(5, 10, seed=1)), sparse(counts(5, 10, seed=2))
    start = bridge(cell, one)
    assert start.shape == (5, 4)
    assert torch.equal(bridge(other, one), start) == ("cell" not in reads)
    assert torch.equal(bridge(cell, two), start) == ("features" not in reads)


@pytest.mark.parametrize("source", ["embedding", "expression", "both"])
def test_bridge_is_random_only_in_training(counts, sparse, source):
    bridge, cell, rows = make_bridge(source), torch.randn(5, 4), sparse(counts(5, 10, empty=(1,)))
    assert not torch.equal(bridge(cell, rows), bridge(cell, rows))
    bridge.eval()
    assert torch.equal(bridge(cell, rows), bridge(cell, rows))


def test_bridge_scales_features(counts, sparse):
    bridge, cell, table = make_bridge("both").eval(), torch.randn(5, 4), counts(5, 10)
    scale = torch.rand(10) + 0.5
    expected = bridge(cell, sparse(table * scale))
    bridge.scale.copy_(scale)
    torch.testing.assert_close(bridge(cell, sparse(table)), expected)


@torch.no_grad()
def test_input_dropout_keeps_the_expected_input(counts, sparse):
    bridge = Bridge(10, 4, 4, 16, dropout=0.0, input_dropout=0.5, source="expression")
    bridge.rest = torch.nn.Identity()
    rows = sparse(counts(3, 10))
    mean = torch.stack([bridge(torch.zeros(3, 4), rows) for _ in range(3000)]).mean(0)
    expected = bridge.eval()(torch.zeros(3, 4), rows)
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.05 * float(expected.abs().max()))


# -- centred features


def make_centred(input_dropout: float) -> tuple[Bridge, torch.Tensor, torch.Tensor]:
    """A centred bridge without dropout of hidden units, and mean and spread of its features."""
    bridge = Bridge(10, 4, 4, 16, 0.0, input_dropout, "expression", centred=True)
    torch.nn.init.normal_(bridge.bias)
    mean, std = torch.rand(10), torch.rand(10) + 0.5
    bridge.standardize(mean, std)
    return bridge, mean, std


@torch.no_grad()
@pytest.mark.parametrize("empty", [(), (0, 4), tuple(range(5))], ids=str)
@pytest.mark.parametrize(("training", "input_dropout"), [(False, 0.5), (False, 0.0), (True, 0.0)])
def test_a_centred_bridge_is_its_dense_formula(counts, sparse, empty, training, input_dropout):
    bridge, mean, std = make_centred(input_dropout)
    table = counts(5, 10, empty=empty)
    hidden = ((table - mean) / std) @ bridge.features + bridge.bias
    hidden = F.gelu(F.layer_norm(hidden, hidden.shape[-1:]))
    expected = hidden @ bridge.rest[-1].weight.T + bridge.rest[-1].bias
    found = bridge.train(training)(torch.zeros(5, 4), sparse(table))
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_centred_input_dropout_keeps_the_expected_input(counts, sparse):
    bridge, _, _ = make_centred(0.5)
    bridge.rest = torch.nn.Identity()
    rows = sparse(counts(3, 10, empty=(1,)))
    draws = torch.stack([bridge(torch.zeros(3, 4), rows) for _ in range(3000)])
    assert (draws.std(0) > 0.01).all()  # of an empty cell as well
    expected = bridge.eval()(torch.zeros(3, 4), rows)
    error = draws.std(0) / 3000**0.5
    assert ((draws.mean(0) - expected).abs() < 5 * error).all()


@torch.no_grad()
def test_a_dropped_gene_counts_as_average(sparse):
    """With all genes at their mean, dropout changes nothing."""
    bridge, mean, _ = make_centred(0.5)
    rows = sparse(mean.expand(4, -1))
    found = bridge(torch.zeros(4, 4), rows)
    expected = bridge.rest(bridge.bias).expand(4, -1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(to_dense(rows, 10), mean.expand(4, -1))


def test_what_is_not_centred_is_only_scaled():
    bridge = make_bridge("both")
    bridge.standardize(torch.rand(10) + 1, torch.full((10,), 4.0))
    assert torch.equal(bridge.shift, torch.zeros(10))
    assert torch.equal(bridge.scale, torch.full((10,), 0.25))


def test_published_sizes():
    """method.md A4: the student has 4,361,600 parameters, the discriminator 128-64-2."""
    with torch.device("meta"):
        student = Bridge(16906, 128, 128, 256, 0.1, 0.0, "expression")
        discriminator, decoder = Discriminator(128), Decoder(128, 16906, 1, False)
    assert sum(p.numel() for p in student.parameters()) == 4_361_600
    assert [tuple(p.shape) for p in discriminator.parameters()] == [(64, 128), (64,), (2, 64), (2,)]
    assert sum(p.numel() for p in decoder.parameters()) == 129 * 16906


@pytest.mark.parametrize("n_batches", [0, 1, 3])
@pytest.mark.parametrize("scaled", [False, True])
def test_batches_of_a_query_are_differences_from_the_average(n_batches, scaled):
    decoder = Decoder(4, 6, n_batches, True, scaled=scaled)
    if scaled:
        decoder.start_at(torch.randn(6), torch.rand(6) + 0.5)
    torch.nn.init.normal_(decoder.batch_bias)
    z, depth = torch.randn(5, 4), torch.randn(5)
    codes = [None, *range(-1, n_batches)]
    batch = {c: None if c is None else torch.full((5,), c) for c in codes}
    before = {c: decoder(z, batch[c], depth) for c in codes}
    decoder.add_query_batches(1)
    decoder.add_query_batches(1)
    added = torch.full((5,), n_batches + 1)
    assert torch.equal(decoder(z, added, depth), before[None])  # the average until it is fitted
    decoder.query_bias.normal_()
    assert all(torch.equal(decoder(z, batch[c], depth), before[c]) for c in codes)
    expected = decoder.query_bias[:, 1] * (1 if decoder.scale is None else decoder.scale[:, 0])
    apart = decoder(z, added, depth) - before[None]
    torch.testing.assert_close(apart, expected.expand(5, 6), rtol=1e-4, atol=1e-5)
    columns = torch.tensor([4, 0])
    torch.testing.assert_close(
        decoder(z, added, depth, columns), decoder(z, added, depth)[:, columns]
    )
    mixed = torch.tensor([n_batches, -1, n_batches + 1, -1, n_batches])
    found = decoder(z, mixed, depth) - before[None]
    torch.testing.assert_close(found[2], expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(found[1], torch.zeros(6))
