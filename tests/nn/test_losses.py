"""Losses on sparse targets equal torch's on dense ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scmomer.nn import _losses, linear_bce, multinomial, sparse_mse

EMPTY = [(), (0, 3, 6), tuple(range(7))]


@pytest.fixture(params=[None, 1, 20, 7 * 11], ids=["whole", "one peak", "chunks", "almost all"])
def chunk(request, monkeypatch):
    """Compute in chunks of this many logits; seven cells with twelve peaks have 84."""
    if request.param is not None:
        monkeypatch.setattr(_losses, "_CHUNK_ELEMENTS", request.param)


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


def test_a_gpu_computes_all_peaks_at_once(counts, sparse, monkeypatch):
    (z, weight), targets = draw(), sparse(counts(7, 12))
    monkeypatch.setattr(_losses, "_CHUNK_ELEMENTS", 1)  # peak by peak
    expected = linear_bce(z, weight, targets)
    monkeypatch.setattr(_losses, "waits_for", lambda tensor: True)
    sizes: list[int] = []
    softplus = F.softplus
    monkeypatch.setattr(F, "softplus", lambda x: sizes.append(x.numel()) or softplus(x))
    torch.testing.assert_close(linear_bce(z, weight, targets), expected)
    assert sizes[0] == 7 * 12


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


@pytest.mark.parametrize("empty", EMPTY, ids=str)
def test_sparse_mse_equals_dense(counts, sparse, empty):
    target = counts(7, 12, empty=empty).double()
    torch.manual_seed(0)
    prediction = torch.randn(7, 12, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(12, dtype=torch.float64)
    found = sparse_mse(prediction, sparse(target, torch.float64), weight)
    expected = ((prediction - target).square() * weight).sum() / 7
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, prediction), torch.autograd.grad(expected, prediction)
    )


def test_perfect_prediction_has_no_error(counts, sparse):
    target = counts(5, 9, empty=(2,))
    assert abs(sparse_mse(target.clone(), sparse(target), torch.ones(9))) < 1e-4


# -- multinomial


def draw_logits() -> torch.Tensor:
    torch.manual_seed(0)
    return (2 * torch.randn(7, 12, dtype=torch.float64)).requires_grad_()


@pytest.mark.parametrize("empty", EMPTY, ids=str)
def test_multinomial_equals_torch(counts, sparse, empty):
    target, logits = counts(7, 12, empty=empty).double(), draw_logits()
    found = multinomial(logits, sparse(target, torch.float64))
    expected = F.cross_entropy(logits, target, reduction="sum") / 7
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, logits), torch.autograd.grad(expected, logits)
    )


def test_multinomial_is_the_likelihood_without_what_logits_cannot_change(counts, sparse):
    target, logits = counts(7, 12).double(), draw_logits()
    expected = torch.zeros((), dtype=torch.float64)
    for row, shares in zip(target, logits, strict=True):
        law = torch.distributions.Multinomial(int(row.sum()), logits=shares)
        arrangements = torch.lgamma(row.sum() + 1) - torch.lgamma(row + 1).sum()
        expected = expected - law.log_prob(row) + arrangements
    torch.testing.assert_close(multinomial(logits, sparse(target, torch.float64)), expected / 7)


def test_multinomial_ignores_a_constant_in_the_logits_of_a_cell(counts, sparse):
    target, logits = sparse(counts(7, 12, empty=(2,)), torch.float64), draw_logits()
    constant = 100 * torch.randn(7, 1, dtype=torch.float64)
    torch.testing.assert_close(multinomial(logits + constant, target), multinomial(logits, target))


def test_multinomial_of_the_shares_themselves_is_the_least(counts, sparse):
    table = counts(1, 12).double() + 1
    target = sparse(table, torch.float64)
    least = multinomial(table.log(), target)
    assert all(multinomial(logits[None], target) > least for logits in draw_logits())


@pytest.mark.parametrize("n", [0, 3])
def test_multinomial_without_counts_is_zero(sparse, n):
    logits = torch.randn(n, 12, requires_grad=True)
    loss = multinomial(logits, sparse(torch.zeros(n, 12)))
    loss.backward()
    assert loss == 0 and not logits.grad.any()


def test_empty_cells_count_in_the_mean(counts, sparse):
    logits, table = draw_logits(), counts(7, 12, empty=(5, 6)).double()
    whole = multinomial(logits, sparse(table, torch.float64))
    part = multinomial(logits[:5], sparse(table[:5], torch.float64))
    torch.testing.assert_close(7 * whole, 5 * part)
