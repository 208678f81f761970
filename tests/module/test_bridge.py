"""Bridges against their plain formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scmomer.module import Bridge, BridgeConfig
from scmomer.nn import to_dense

READS = ["embedding", "features", "both"]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def make_bridge(
    reads: str,
    dropout: float = 0.5,
    input_dropout: float = 0.5,
    center: bool = False,
    n_outputs: int = 1,
) -> Bridge:
    """A bridge of ten features and embeddings of width four."""
    config = BridgeConfig(hidden=16, dropout=dropout, input_dropout=input_dropout)
    return Bridge(reads, 10, 4, n_outputs, config, center)


@pytest.mark.parametrize(
    ("reads", "parts"),
    [("embedding", {"cell"}), ("features", {"features"}), ("both", {"cell", "features"})],
)
def test_a_bridge_reads_what_it_should(counts, sparse, reads, parts):
    bridge = make_bridge(reads).eval()
    cell, other = torch.randn(5, 4), torch.randn(5, 4)
    one, two = sparse(counts(5, 10, seed=1)), sparse(counts(5, 10, seed=2))
    start = bridge(cell, one)
    assert start.shape == (5, 4)
    assert torch.equal(bridge(other, one), start) == ("cell" not in parts)
    assert torch.equal(bridge(cell, two), start) == ("features" not in parts)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_it_predicts_so_many_embeddings(counts, sparse, n_outputs):
    bridge = make_bridge("both", n_outputs=n_outputs)
    assert bridge(torch.randn(5, 4), sparse(counts(5, 10))).shape == (5, 4 * n_outputs)


@pytest.mark.parametrize("reads", READS)
def test_a_bridge_is_random_only_in_training(counts, sparse, reads):
    bridge, cell, rows = make_bridge(reads), torch.randn(5, 4), sparse(counts(5, 10, empty=(1,)))
    assert not torch.equal(bridge(cell, rows), bridge(cell, rows))
    bridge.eval()
    assert torch.equal(bridge(cell, rows), bridge(cell, rows))


def test_a_bridge_scales_features(counts, sparse):
    bridge, cell, table = make_bridge("both").eval(), torch.randn(5, 4), counts(5, 10)
    scale = torch.rand(10) + 0.5
    expected = bridge(cell, sparse(table * scale))
    bridge.scale.copy_(scale)
    torch.testing.assert_close(bridge(cell, sparse(table)), expected)


@torch.no_grad()
def test_input_dropout_keeps_the_expected_input(counts, sparse):
    bridge = make_bridge("features", dropout=0.0)
    bridge.rest = torch.nn.Identity()
    rows = sparse(counts(3, 10))
    mean = torch.stack([bridge(torch.zeros(3, 4), rows) for _ in range(3000)]).mean(0)
    expected = bridge.eval()(torch.zeros(3, 4), rows)
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.05 * float(expected.abs().max()))


# -- centered features


def make_centered(input_dropout: float) -> tuple[Bridge, torch.Tensor, torch.Tensor]:
    """A centered bridge without dropout of hidden units, and mean and spread of its features."""
    bridge = make_bridge("features", 0.0, input_dropout, center=True)
    torch.nn.init.normal_(bridge.bias)
    mean, std = torch.rand(10), torch.rand(10) + 0.5
    bridge.standardize(mean, std)
    return bridge, mean, std


@torch.no_grad()
@pytest.mark.parametrize("empty", [(), (0, 4), tuple(range(5))], ids=str)
@pytest.mark.parametrize(("training", "input_dropout"), [(False, 0.5), (False, 0.0), (True, 0.0)])
def test_a_centered_bridge_is_its_dense_formula(counts, sparse, empty, training, input_dropout):
    bridge, mean, std = make_centered(input_dropout)
    table = counts(5, 10, empty=empty)
    hidden = ((table - mean) / std) @ bridge.features + bridge.bias
    hidden = F.gelu(F.layer_norm(hidden, hidden.shape[-1:]))
    expected = hidden @ bridge.rest[-1].weight.T + bridge.rest[-1].bias
    found = bridge.train(training)(torch.zeros(5, 4), sparse(table))
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_centered_input_dropout_keeps_the_expected_input(counts, sparse):
    bridge, _, _ = make_centered(0.5)
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
    bridge, mean, _ = make_centered(0.5)
    rows = sparse(mean.expand(4, -1))
    found = bridge(torch.zeros(4, 4), rows)
    expected = bridge.rest(bridge.bias).expand(4, -1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(to_dense(rows, 10), mean.expand(4, -1))


def test_what_is_not_centered_is_only_scaled():
    bridge = make_bridge("both")
    bridge.standardize(torch.rand(10) + 1, torch.full((10,), 4.0))
    assert torch.equal(bridge.shift, torch.zeros(10))
    assert torch.equal(bridge.scale, torch.full((10,), 0.25))


def test_a_bridge_of_published_size():
    """method.md A4: the student has 4,361,600 parameters."""
    with torch.device("meta"):
        student = Bridge("features", 16906, 128, 1, BridgeConfig(hidden=256), False)
    assert sum(p.numel() for p in student.parameters()) == 4_361_600
