"""The streamed block: the plain formula's numbers and gradients, whatever the tiles."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scmomer.module import RNAConfig
from scmomer.module.modalities.rna._performer import _Block
from scmomer.nn.favor._attention import FavorAttention
from scmomer.nn.favor._block import favor_block
from scmomer.nn.favor._streamed import BlockSetting, BlockWeights

N, LENGTH, DIM, HEADS, DIM_HEAD, M = 3, 61, 20, 3, 8, 17
TILES = [1, 10, 30, 70, 130, 1000]  # tokens: parts of a cell, one cell, several, all
PADDED = torch.arange(LENGTH) < torch.tensor([[LENGTH], [30], [7]])


def draw(dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor, BlockWeights]:
    """Tokens, random features and parameters of a block."""
    torch.manual_seed(0)
    inner = HEADS * DIM_HEAD
    shapes = [(DIM,)] * 2 + [(inner, DIM)] * 3 + [(DIM, inner)] + [(DIM,)] * 3
    shapes += [(4 * DIM, DIM), (4 * DIM,), (DIM, 4 * DIM), (DIM,)]
    weights = [torch.randn(shape, dtype=dtype).mul_(0.4).requires_grad_() for shape in shapes]
    x = torch.randn(N, LENGTH, DIM, dtype=dtype, requires_grad=True)
    return x, torch.randn(M, DIM_HEAD, dtype=dtype), BlockWeights(*weights)


def plain(x, valid, projection, w: BlockWeights, over_heads=False) -> torch.Tensor:
    """The same block out of whole feature maps, for autograd."""
    attention = FavorAttention(DIM_HEAD, M, over_heads).to(x.dtype)
    attention.projection_matrix = projection
    h = F.layer_norm(x, (DIM,), w.norm1, w.norm1_bias)
    q, k, v = (
        (h @ weight.T).unflatten(-1, (HEADS, -1)).transpose(1, 2) for weight in (w.q, w.k, w.v)
    )
    h = attention(q, k, v, valid).transpose(1, 2).flatten(2)
    x = x + h @ w.out.T + w.out_bias
    h = F.layer_norm(x, (DIM,), w.norm2, w.norm2_bias)
    return x + F.gelu(h @ w.w1.T + w.b1) @ w.w2.T + w.b2


def setting(dtype=torch.float64, tile=None, over_heads=False) -> BlockSetting:
    """How a block is computed."""
    return BlockSetting(HEADS, over_heads, dtype, tile)


@pytest.mark.parametrize("over_heads", [False, True])
@pytest.mark.parametrize("valid", [None, PADDED], ids=["full", "padded"])
@pytest.mark.parametrize("tile", TILES)
def test_equals_the_plain_formula_and_its_gradients(tile, valid, over_heads):
    x, projection, weights = draw()
    mask = torch.ones(N, LENGTH, dtype=torch.bool) if valid is None else valid
    expected = plain(x, mask, projection, weights, over_heads)
    found = favor_block(x, valid, projection, weights, setting(tile=tile, over_heads=over_heads))
    close = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(found[mask], expected[mask], **close)
    direction = torch.randn_like(expected) * mask[..., None]
    for mine, theirs in zip(
        torch.autograd.grad(found, (x, *weights), direction),
        torch.autograd.grad(expected, (x, *weights), direction),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, **close)


@pytest.mark.parametrize("valid", [None, PADDED], ids=["full", "padded"])
def test_training_stores_one_residual_stream_and_the_sums_over_keys(valid):
    x, projection, weights = draw()
    stored = []

    def note(tensor):
        stored.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        favor_block(x, valid, projection, weights, setting())
    given = {t.data_ptr() for t in (projection, *weights)}
    found = sum(t.numel() for t in stored if t.data_ptr() not in given)
    assert found == x.numel() + N * HEADS * (M * (DIM_HEAD + 1) + 1)


def test_gradients_are_those_of_finite_differences():
    x, projection, weights = draw()
    some = x[:1, :5].detach().requires_grad_()
    # The stabilizer counts as a constant: small projections keep it from moving.
    projection = projection * 1e-3

    def run(x, *weights):
        return favor_block(x, None, projection, BlockWeights(*weights), setting(tile=2))

    # A random direction for each tensor: a wrong entry anywhere would change it.
    assert torch.autograd.gradcheck(run, (some, *weights), atol=1e-4, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("valid", [None, PADDED], ids=["full", "padded"])
def test_without_gradients_it_is_the_same_in_place(valid):
    x, projection, weights = draw()
    expected = favor_block(x, valid, projection, weights, setting(tile=24)).detach()
    with torch.no_grad():
        free = x.detach().clone()
        found = favor_block(free, valid, projection, weights, setting(tile=24))
    assert found.data_ptr() == free.data_ptr()
    keep = slice(None) if valid is None else valid
    torch.testing.assert_close(found[keep], expected[keep], rtol=1e-12, atol=1e-12)


def test_with_gradients_the_input_stays_as_it_is():
    x, projection, weights = draw()
    before = x.detach().clone()
    favor_block(x, None, projection, weights, setting()).sum().backward()
    torch.testing.assert_close(x.detach(), before, rtol=0, atol=0)


@pytest.mark.parametrize("frozen", ["x", "weights"])
def test_what_is_frozen_gets_no_gradient(frozen):
    x, projection, weights = draw()
    for tensor in [x] if frozen == "x" else weights:
        tensor.requires_grad_(False)
    favor_block(x, None, projection, weights, setting()).sum().backward()
    assert (x.grad is None) == (frozen == "x")
    assert all((w.grad is None) == (frozen == "weights") for w in weights)


@pytest.mark.parametrize("tile", [10, 1000])
def test_a_cell_without_tokens_stays_finite(tile):
    x, projection, weights = draw()
    valid = PADDED.clone()
    valid[1] = False
    out = favor_block(x, valid, projection, weights, setting(tile=tile))
    assert out.isfinite().all()
    direction = torch.randn_like(out) * valid[..., None]
    for gradient in torch.autograd.grad(out, (x, *weights), direction):
        assert gradient.isfinite().all()


def test_padding_is_not_looked_at():
    x, projection, weights = draw()
    other = x.detach().clone()
    other[~PADDED] = 1e4 * torch.randn_like(other[~PADDED])
    with torch.no_grad():
        found = favor_block(other, PADDED, projection, weights, setting(tile=16))
        expected = favor_block(x.detach().clone(), PADDED, projection, weights, setting(tile=16))
    torch.testing.assert_close(found[PADDED], expected[PADDED], rtol=0, atol=1e-12)


def test_tiles_change_single_precision_only_in_rounding():
    x, projection, weights = (draw(torch.float32)[i] for i in range(3))
    with torch.no_grad():
        outs = [
            favor_block(x.clone(), None, projection, weights, setting(torch.float32, tile))
            for tile in TILES
        ]
    for out in outs[1:]:
        torch.testing.assert_close(out, outs[0], rtol=1e-5, atol=1e-5)


def test_bfloat16_multiplies_roughly_and_sums_exactly():
    x, projection, weights = draw(torch.float32)
    exact = favor_block(x, PADDED, projection, weights, setting(torch.float32))
    rough = favor_block(x, PADDED, projection, weights, setting(torch.bfloat16, tile=24))
    assert rough.dtype == torch.float32  # the residual stream and all sums stay wide
    error = (rough - exact)[PADDED].norm() / exact[PADDED].norm()
    assert 1e-5 < error < 2e-2  # of the order of 2^-8
    direction = torch.randn_like(exact) * PADDED[..., None]
    for mine, theirs in zip(
        torch.autograd.grad(rough, (x, *weights), direction),
        torch.autograd.grad(exact, (x, *weights), direction),
        strict=True,
    ):
        assert mine.dtype == torch.float32
        assert (mine - theirs).norm() < 0.05 * theirs.norm()


def test_bfloat16_keeps_the_exponent_in_single_precision():
    # Were the projections rounded to 8 bits, exponents of this size would be off by 0.1.
    x, projection, weights = draw(torch.float32)
    weights = weights._replace(q=weights.q * 3, k=weights.k * 3)
    rounded = BlockWeights(*(w.detach().bfloat16().float() for w in weights))
    with torch.no_grad():
        exact = favor_block(x.clone(), None, projection, rounded, setting(torch.float32))
        rough = favor_block(x.clone(), None, projection, rounded, setting(torch.bfloat16))
    assert (rough - exact).norm() < 2e-2 * exact.norm()


def test_autocast_outside_changes_nothing_on_a_cpu():
    block = _Block(RNAConfig(dim=DIM, n_heads=HEADS, dim_head=DIM_HEAD, attention="favor"))
    x = torch.randn(2, 9, DIM)
    expected = block(x, torch.ones(2, 9, dtype=torch.bool), padded=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = block(x, torch.ones(2, 9, dtype=torch.bool), padded=True)
        found.sum().backward()
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_module_runs_the_streamed_block_with_its_own_parameters():
    torch.manual_seed(0)
    config = RNAConfig(dim=DIM, n_heads=HEADS, dim_head=DIM_HEAD, attention="favor")
    block = _Block(config).double()
    x = torch.randn(N, LENGTH, DIM, dtype=torch.float64)
    attention, feed_forward = block
    expected = feed_forward(attention(x, PADDED))
    torch.testing.assert_close(block(x, PADDED, padded=True)[PADDED], expected[PADDED])


def test_it_cannot_be_differentiated_twice():
    x, projection, weights = draw()
    out = favor_block(x, None, projection, weights, setting())
    (gradient,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
