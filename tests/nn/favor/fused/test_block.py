from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scmomer.nn.favor import BlockSetting, BlockWeights, FavorAttention, Packed, fused_kernels


def draw(dim, heads, d, hidden):
    """Return weights of a block."""
    torch.manual_seed(0)
    inner = heads * d

    def matrix(*shape):
        return torch.randn(*shape) / shape[-1] ** 0.5

    def vector(n):
        return torch.randn(n) * 0.3

    return BlockWeights(
        *(1 + vector(dim), vector(dim), *(matrix(inner, dim) for _ in range(3))),
        *(matrix(dim, inner), vector(dim), 1 + vector(dim), vector(dim)),
        *(matrix(hidden, dim), vector(hidden), matrix(dim, hidden), vector(dim)),
    )


def reference(x, starts, projection, w, heads, over_heads):
    """Return the formula, cell by cell, in float64."""
    dim, (m, d) = x.shape[1], projection.shape
    attention = FavorAttention(d, m, over_heads).double()
    attention.projection_matrix.copy_(projection)
    out = []
    for start, stop in zip(starts[:-1], starts[1:], strict=True):
        if start == stop:
            continue
        cell, n = x[start:stop][None], stop - start
        h = F.layer_norm(cell, (dim,), w.norm1, w.norm1_bias)
        q, k, v = ((h @ p.T).view(1, n, heads, d).transpose(1, 2) for p in (w.q, w.k, w.v))
        found = attention(q, k, v, torch.ones(1, n, dtype=torch.bool))
        y = cell + found.transpose(1, 2).reshape(1, n, -1) @ w.out.T + w.out_bias
        h = F.layer_norm(y, (dim,), w.norm2, w.norm2_bias)
        out.append((y + F.gelu(h @ w.w1.T + w.b1) @ w.w2.T + w.b2)[0])
    return torch.cat(out)


def error(found, expected):
    """Return the relative error of a tensor."""
    found, expected = found.detach().double(), expected.detach()
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))


def compare(lengths, dim, heads, d, hidden, m, over_heads=False, narrow=torch.float32):
    """Return the relative errors of output and gradients."""
    weights = draw(dim, heads, d, hidden)
    starts = [0, *torch.tensor(lengths).cumsum(0).tolist()]
    projection, x, dout = (torch.randn(*s) for s in ((m, d), (starts[-1], dim), (starts[-1], dim)))
    packed = Packed(torch.tensor(starts, dtype=torch.int32), max(lengths))
    ours = [t.clone().requires_grad_() for t in (x, *weights)]
    exact = [t.double().requires_grad_() for t in (x, *weights)]
    kernels = fused_kernels(x, d, narrow)
    setting = BlockSetting(heads, over_heads, narrow)
    found = kernels(ours[0], packed, projection, BlockWeights(*ours[1:]), setting)
    expected = reference(
        exact[0], starts, projection.double(), BlockWeights(*exact[1:]), heads, over_heads
    )
    grads = torch.autograd.grad(found, ours, dout)
    true = torch.autograd.grad(expected, exact, dout.double())
    return error(found, expected), [error(a, b) for a, b in zip(grads, true, strict=True)]


@pytest.mark.parametrize(
    ("lengths", "sizes", "over_heads"),
    [
        ([37], (32, 2, 16, 64, 44), False),
        ([37, 1, 70, 0, 64], (32, 2, 16, 64, 44), False),  # cells of one token, none, a whole tile
        ([9, 70], (40, 2, 16, 80, 44), True),  # widths that are no power of two, one stabilizer
        ([90], (48, 3, 64, 72, 70), False),  # features that do not fill their last block
        ([600, 5], (16, 1, 16, 16, 20), True),  # chunks of a long cell
        ([20], (24, 2, 24, 32, 30), False),  # a head between powers of two
        ([33], (16, 1, 64, 16, 130), False),  # three blocks of features
        ([17], (16, 2, 16, 16, 64), False),  # features that fill a block exactly
    ],
)
def test_equals_the_formula(interpreted, lengths, sizes, over_heads):
    output, grads = compare(lengths, *sizes, over_heads)
    assert output < 1e-6 and max(grads) < 1e-5


def test_narrow_types(interpreted):
    """Products in 16 bits, sums in 32."""
    output, grads = compare([37, 70], 32, 2, 16, 64, 44, narrow=torch.float16)
    assert 1e-5 < output < 2e-3 and max(grads) < 2e-2


def test_large_values_do_not_overflow(interpreted):
    weights = draw(16, 1, 16, 16)
    weights = weights._replace(q=weights.q * 30, k=weights.k * 30)
    x, projection = torch.randn(20, 16), torch.randn(44, 16)
    packed = Packed(torch.tensor([0, 20], dtype=torch.int32), 20)
    kernels = fused_kernels(x, 16, torch.float32)
    leaves = [t.clone().requires_grad_() for t in (x, *weights)]
    setting = BlockSetting(1, False, torch.float32)
    out = kernels(leaves[0], packed, projection, BlockWeights(*leaves[1:]), setting)
    grads = torch.autograd.grad(out.sum(), leaves)
    assert all(torch.isfinite(t).all() for t in (out, *grads))


def test_features_are_kept_until_they_change(interpreted):
    from scmomer.nn.favor.fused._launch import scaled_features

    projection = torch.randn(20, 16)
    first = scaled_features(projection, torch.float32)
    assert scaled_features(projection, torch.float32) is first
    assert first.shape == (64, 16) and not first[20:].any()
    projection.mul_(2)
    torch.testing.assert_close(scaled_features(projection, torch.float32), 2 * first)
    assert scaled_features(projection, torch.float16).dtype == torch.float16


def test_does_not_fit(monkeypatch):
    """Wide blocks, other types, and a CPU without the interpreter have no kernels."""
    x = torch.zeros(2, 32)
    assert fused_kernels(x, 16, torch.float32) is None
    monkeypatch.setattr("scmomer.nn.favor._choice._interpreted", True)
    assert fused_kernels(x.double(), 16, torch.float64) is None
    assert fused_kernels(torch.zeros(2, 257), 16, torch.bfloat16) is None
    assert fused_kernels(torch.zeros(2, 200), 64, torch.float32) is None  # shared memory
    assert fused_kernels(x, 256, torch.bfloat16) is None
