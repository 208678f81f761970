"""The function that predicts depth: what it is linear in, and its bounds."""

from __future__ import annotations

import pytest
import torch

from scmomer.module._depth import DepthHead


def test_it_starts_at_the_mean_and_no_optimizer_trains_it():
    head = DepthHead(3)
    assert not head(torch.randn(5, 3), torch.randn(5, 2)).any()
    assert not list(head.parameters())


def test_it_is_linear_in_its_features():
    head, z, sizes = DepthHead(3), torch.randn(5, 3), torch.randn(5, 2).clamp(-2, 2)
    torch.nn.init.normal_(head.weight, std=0.1)
    features = head.features(z, sizes)
    assert features.shape == (5, 2 * 3 + 5)
    torch.testing.assert_close(head(z, sizes), features @ head.weight)


@pytest.mark.parametrize("sign", [-1, 1])
def test_sizes_far_outside_of_training_count_as_the_outermost(sign):
    z, sizes = torch.randn(4, 3), torch.full((4, 2), 3.0 * sign)
    assert torch.equal(DepthHead.features(z, sizes), DepthHead.features(z, 100 * sizes))
    head = DepthHead(3)
    head.bias.fill_(1e6 * sign)
    assert torch.equal(head(z, sizes), torch.full((4,), 4.0 * sign))
