"""Decoders against their plain formulas."""

from __future__ import annotations

import pytest
import torch

from scmomer.module import Decoder


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


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
def test_decoder_without_batch_or_depth_decodes_the_average(n_batches):
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
    made.init_mean(mean)
    torch.testing.assert_close(made(torch.zeros(2, 4)), mean.expand(2, -1))


def test_a_scaled_decoder_starts_at_the_mean():
    made, mean, spread = Decoder(4, 5, 2, False, scaled=True), torch.randn(5), torch.rand(5) + 0.1
    made.init_mean(mean, spread)
    torch.testing.assert_close(made(torch.zeros(2, 4)), mean.expand(2, -1))
    assert torch.equal(made.scale[:, 0], spread)


@pytest.mark.parametrize("columns", [slice(None), torch.tensor([4, 0, 0])], ids=["all", "some"])
def test_parameters_of_a_scaled_decoder_are_in_units_of_the_spread(columns):
    plain, z = decoder(3, True), torch.randn(6, 4)
    made, spread = Decoder(4, 5, 3, True, scaled=True), torch.rand(5) + 0.1
    made.init_mean(torch.zeros(5), spread)
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
        made.init_mean(mean)
        torch.testing.assert_close(made(torch.zeros(1, 4))[0], mean)
    plain.init_mean(mean, torch.full((5,), 7.0))
    torch.testing.assert_close(plain(torch.zeros(1, 4))[0], mean)


@pytest.mark.parametrize("n_batches", [0, 1, 3])
@pytest.mark.parametrize("scaled", [False, True])
def test_batches_of_a_query_are_differences_from_the_average(n_batches, scaled):
    decoder = Decoder(4, 6, n_batches, True, scaled=scaled)
    if scaled:
        decoder.init_mean(torch.randn(6), torch.rand(6) + 0.5)
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


@torch.no_grad()
@pytest.mark.parametrize("scaled", [False, True])
def test_slopes_are_what_the_embedding_adds(scaled):
    made, z = Decoder(4, 5, 2, False, scaled), torch.randn(3, 4)
    made.init_mean(torch.randn(5), torch.rand(5) + 0.1)
    torch.testing.assert_close(z @ made.slopes().T, made(z) - made(torch.zeros(3, 4)))


def test_a_decoder_of_published_size():
    """method.md A4."""
    with torch.device("meta"):
        decoder = Decoder(128, 16906, 1, False)
    assert sum(p.numel() for p in decoder.parameters()) == 129 * 16906
