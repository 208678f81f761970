"""Losses of linear maps equal torch's on all products, with their gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scmomer.nn import (
    _linear_losses,
    linear_bce,
    linear_mse,
    linear_multinomial,
    multinomial,
    sparse_mse,
)

EMPTY = [(), (0, 3, 6), tuple(range(7))]


@pytest.fixture(params=[None, 1, 20, 7 * 11], ids=["whole", "one peak", "chunks", "almost all"])
def chunk(request, monkeypatch):
    """Compute in chunks of this many logits; seven cells with twelve peaks have 84."""
    if request.param is not None:
        monkeypatch.setitem(_linear_losses._CHUNK_ELEMENTS, "cpu", request.param)


def draw(n: int = 7, d: int = 4, n_peaks: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings and weights in double precision."""
    torch.manual_seed(0)
    return tuple(
        (2 * torch.randn(k, d, dtype=torch.float64)).requires_grad_() for k in (n, n_peaks)
    )


def dense_bce(z, weight, target, pos_weight) -> torch.Tensor:
    """The same by torch on all logits."""
    return (
        F.binary_cross_entropy_with_logits(
            z @ weight.T, target.double(), pos_weight=torch.tensor(pos_weight), reduction="sum"
        )
        / z.shape[0]
    )


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("pos_weight", [1.0, 0.3, 20.0])
@pytest.mark.parametrize("empty", EMPTY, ids=str)
def test_linear_bce_equals_torch(counts, sparse, pos_weight, empty):
    z, weight = draw()
    target = (counts(7, 12, empty=empty) > 0).float()
    found = linear_bce(z, weight, sparse(target), pos_weight)
    expected = dense_bce(z, weight, target, pos_weight)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(3 * found, (z, weight)),
        torch.autograd.grad(3 * expected, (z, weight)),
    )


@pytest.mark.usefixtures("chunk")
def test_linear_bce_gradients(counts, sparse):
    z, weight = draw()
    target = sparse(counts(7, 12, empty=(3,)))
    assert torch.autograd.gradcheck(lambda z, w: linear_bce(z, w, target, 5.0), (z, weight))
    for frozen, free in ((z, weight), (weight, z)):
        frozen.requires_grad_(False)
        (gradient,) = torch.autograd.grad(linear_bce(z, weight, target, 5.0), free)
        assert (gradient != 0).any()
        frozen.requires_grad_(True)


def test_linear_bce_does_not_overflow(sparse):
    z = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    weight = torch.ones(3, 1, requires_grad=True)
    loss = linear_bce(z, weight, sparse([[1, 0, 0], [1, 1, 0]]), 2.0)
    loss.backward()
    torch.testing.assert_close(loss, torch.tensor((2 * 200 + 2 * 2 * 200) / 2.0))
    assert z.grad.isfinite().all() and weight.grad.isfinite().all()


@pytest.mark.usefixtures("chunk")
def test_linear_bce_under_mixed_precision(counts, sparse):
    z, weight = (x.detach().float().requires_grad_() for x in draw())
    target = sparse(counts(7, 12))
    expected = linear_bce(z, weight, target, 2.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = linear_bce(z, weight, target, 2.0)
        rounded = linear_bce(z.bfloat16(), weight, target, 2.0)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(rounded, expected, rtol=0.02, atol=0)
    rounded.backward()
    assert z.grad.dtype == torch.float32 and z.grad.isfinite().all()


def test_linear_bce_leaves_its_inputs_alone(counts, sparse):
    z, weight = draw()
    before = z.detach().clone(), weight.detach().clone()
    linear_bce(z, weight, sparse(counts(7, 12))).backward()
    assert torch.equal(z, before[0]) and torch.equal(weight, before[1])


# -- squared error and multinomial


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("empty", EMPTY, ids=str)
def test_linear_mse_equals_that_of_all_products(counts, sparse, empty):
    z, weight = draw()
    target, scale = counts(7, 12, empty=empty).double(), torch.rand(12, dtype=torch.float64)
    found = linear_mse(z, weight, target, scale)
    expected = sparse_mse(z @ weight.T, sparse(target, torch.float64), scale)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(3 * found, (z, weight)), torch.autograd.grad(3 * expected, (z, weight))
    )


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("empty", EMPTY, ids=str)
def test_linear_multinomial_equals_that_of_all_products(counts, sparse, empty):
    z, weight = draw()
    target = counts(7, 12, empty=empty).double()
    found = linear_multinomial(z, weight, target)
    expected = multinomial(z @ weight.T, sparse(target, torch.float64))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(3 * found, (z, weight)), torch.autograd.grad(3 * expected, (z, weight))
    )


def test_large_logits_have_finite_multinomial_losses():
    z = torch.tensor([[500.0], [-500.0]], requires_grad=True)
    weight = torch.tensor([[1.0], [0.0]], requires_grad=True)
    loss = linear_multinomial(z, weight, torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    loss.backward()
    torch.testing.assert_close(loss, torch.tensor(250.0))
    assert z.grad.isfinite().all() and weight.grad.isfinite().all()


def test_targets_stay_as_they_are(counts):
    z, weight = draw()
    target = counts(7, 12).double()
    before = target.clone()
    (linear_mse(z, weight, target, torch.ones(12).double())).backward()
    linear_multinomial(z, weight, target).backward()
    assert torch.equal(target, before)
