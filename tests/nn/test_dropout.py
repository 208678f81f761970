"""Dropout of inputs by random bytes."""

from __future__ import annotations

import pytest
import torch

from scmomer.nn import drop_values


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.75, 0.999])
def test_values_are_dropped_and_the_mean_stays(fraction):
    torch.manual_seed(0)
    found = drop_values(torch.ones(500, 401), fraction)
    dropped = (found == 0).float()
    error = 1 / 256 + 0.01
    assert dropped.mean() == pytest.approx(fraction, abs=error)
    assert len(found.unique()) == 2
    assert dropped[:, ::8].mean() == pytest.approx(fraction, abs=error)  # every byte of a word
    assert dropped[:, 7::8].mean() == pytest.approx(fraction, abs=error)
    if fraction < 0.9:
        assert found.mean() == pytest.approx(1, abs=0.02)


def test_the_draw_follows_the_seed():
    torch.manual_seed(1)
    one, two = (drop_values(torch.ones(9, 11), 0.5) for _ in range(2))
    torch.manual_seed(1)
    assert torch.equal(drop_values(torch.ones(9, 11), 0.5), one) and not torch.equal(one, two)


@pytest.mark.parametrize("fraction", [0.0, 1e-4])
def test_almost_nothing_is_dropped(fraction):
    found = drop_values(torch.ones(10, 10), fraction)
    assert found.mean() == pytest.approx(1, abs=0.02)


def test_a_gradient_passes():
    x = torch.ones(20, 20, requires_grad=True)
    y = drop_values(x, 0.5)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach()) and (x == 1).all()
