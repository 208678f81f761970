"""Losses on sparse targets equal torch's on dense ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scmomer.nn import multinomial, sparse_mse

EMPTY = [(), (0, 3, 6), tuple(range(7))]


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
