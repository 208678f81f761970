"""Attention: equal to the reference, indifferent to padding, finite without tokens."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from performer_pytorch.performer_pytorch import linear_attention, softmax_kernel

from scmomer.nn.favor._attention import FavorAttention, SoftmaxAttention, orthogonal_features

SHAPES = [(1, 1, 1, 8), (1, 2, 7, 16), (1, 10, 40, 64)]


def draw(shape: tuple[int, ...], scale: float = 1.0) -> list[torch.Tensor]:
    """Queries, keys and values in double precision."""
    torch.manual_seed(sum(shape))
    return [(scale * torch.randn(shape, dtype=torch.float64)).requires_grad_() for _ in range(3)]


def everywhere(q: torch.Tensor) -> torch.Tensor:
    """A mask without padding."""
    return torch.ones(q.shape[0], q.shape[2], dtype=torch.bool)


def published(attention: FavorAttention, q, k, v) -> torch.Tensor:
    """The same attention computed by performer-pytorch."""
    projection = attention.projection_matrix
    phi_q = softmax_kernel(q, projection_matrix=projection, is_query=True)
    phi_k = softmax_kernel(k, projection_matrix=projection, is_query=False)
    return linear_attention(phi_q, phi_k, v)


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_favor_equals_performer_pytorch(shape, scale):
    q, k, v = draw(shape, scale)
    attention = FavorAttention(shape[-1]).double()
    ours = attention(q, k, v, everywhere(q))
    theirs = published(attention, q, k, v)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    direction = torch.randn_like(ours)
    for mine, reference in zip(
        torch.autograd.grad(ours, (q, k, v), direction),
        torch.autograd.grad(theirs, (q, k, v), direction),
        strict=True,
    ):
        torch.testing.assert_close(mine, reference, rtol=1e-8, atol=1e-10)


@torch.no_grad()
def test_padding_is_no_part_of_the_maximum():
    q, k, v = draw((1, 2, 3, 8))
    attention = FavorAttention(8).double()
    attention.projection_matrix.abs_().neg_()
    k = k.abs()  # every projection is negative, that of padding is zero
    alone = attention(q, k, v, everywhere(q))
    padded = attention(*(F.pad(x, (0, 0, 0, 1)) for x in (q, k, v)), torch.arange(4)[None] < 3)
    torch.testing.assert_close(padded[:, :, :3], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [FavorAttention, SoftmaxAttention])
def test_padding_changes_nothing(kind):
    q, k, v = draw((2, 3, 6, 8))
    attention = kind(8).double()
    alone = attention(q, k, v, everywhere(q))
    padded = [F.pad(x, (0, 0, 0, 4)).detach() for x in (q, k, v)]
    for x in padded:
        x[:, :, 6:] = 100 * torch.randn(2, 3, 4, 8)  # would win every maximum and overflow exp
        x.requires_grad_()
    valid = torch.arange(10).expand(2, -1) < 6
    out = attention(*padded, valid)
    torch.testing.assert_close(out[:, :, :6], alone, rtol=0, atol=1e-6)
    direction = torch.randn_like(alone)
    expected = torch.autograd.grad(alone, (q, k, v), direction)
    found = torch.autograd.grad(out[:, :, :6], padded, direction)
    for mine, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(mine[:, :, :6], reference, rtol=0, atol=1e-6)
        assert (mine[:, :, 6:] == 0).all()


@pytest.mark.parametrize("kind", [FavorAttention, SoftmaxAttention])
def test_a_cell_does_not_see_its_batch(kind):
    q, k, v = draw((3, 2, 5, 8))
    k = k * torch.tensor([0.1, 1.0, 10.0])[:, None, None, None]  # very different stabilizers
    attention = kind(8).double()
    together = attention(q, k, v, everywhere(q))
    for i in range(3):
        alone = attention(q[i : i + 1], k[i : i + 1], v[i : i + 1], everywhere(q[:1]))
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [FavorAttention, SoftmaxAttention])
def test_a_cell_without_tokens_stays_finite_and_so_do_gradients(kind):
    q, k, v = draw((2, 2, 4, 8))
    valid = torch.tensor([[True, True, False, False], [False] * 4])
    out = kind(8).double()(q, k, v, valid)
    assert out.isfinite().all()
    for gradient in torch.autograd.grad(out.square().sum(), (q, k, v)):
        assert gradient.isfinite().all()


def test_softmax_equals_torch():
    q, k, v = draw((3, 2, 9, 16))
    valid = torch.arange(9) < torch.tensor([[9], [4], [1]])
    ours = SoftmaxAttention(16)(q, k, v, valid)
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=valid[:, None, None])
    torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_more_features_come_closer_to_softmax():
    # Moderate logits: with large ones the published 1e-4, not the number of features, decides.
    q, k, v = draw((1, 4, 30, 8))
    q, k = 0.3 * q, 0.3 * k
    exact = SoftmaxAttention(8)(q, k, v, everywhere(q))

    def error(n_features: int) -> float:
        draws = [FavorAttention(8, n_features).double() for _ in range(4)]
        return sum(float((f(q, k, v, everywhere(q)) - exact).abs().mean()) for f in draws) / 4

    few, some, many = error(8), error(64), error(2048)
    assert few > 1.5 * some > 1.5 * many
    assert many < 0.1 * float(exact.abs().mean())


@pytest.mark.parametrize(("n_features", "dim"), [(5, 8), (16, 8), (44, 16)])
def test_features_are_orthogonal_in_blocks(n_features, dim):
    torch.manual_seed(0)
    features = orthogonal_features(n_features, dim).double()
    assert features.shape == (n_features, dim)
    for block in features.split(dim):
        gram = block @ block.T
        off = gram - torch.diag(gram.diagonal())
        assert off.abs().max() < 1e-4 * gram.diagonal().max()


def test_features_have_the_norms_of_gaussian_vectors():
    torch.manual_seed(0)
    squares = orthogonal_features(4000, 16).square().sum(1)
    assert abs(squares.mean() - 16) < 0.5  # chi-squared with 16 degrees of freedom
    assert abs(squares.var() - 32) < 5


def test_number_of_features_follows_performer_pytorch():
    assert FavorAttention(64).projection_matrix.shape == (266, 64)
    assert FavorAttention(64, 10).projection_matrix.shape == (10, 64)


def test_features_are_drawn_once():
    q, k, v = draw((1, 2, 5, 8))
    attention = FavorAttention(8).double().train()
    first = attention(q, k, v, everywhere(q))
    assert all(torch.equal(attention(q, k, v, everywhere(q)), first) for _ in range(3))
