"""The network, its losses and its training."""

import numpy as np
import pytest
import torch

from scmomer.tasks.perturbation.network._losses import direction_loss, focus_loss
from scmomer.tasks.perturbation.network._network import PerturbationNetwork, mix
from scmomer.tasks.perturbation.network._train import NetworkInputs, apply_network, train_network


def _loops(n):
    return torch.arange(n).repeat(2, 1), torch.ones(n)


def _inputs(n_parts=6, n_genes=10):
    features = torch.eye(n_parts)
    return NetworkInputs(features, _loops(n_parts), _loops(n_genes), None)


def test_mix_averages_neighbors():
    graph = (torch.tensor([[0, 0, 1], [0, 1, 1]]), torch.tensor([0.25, 0.75, 1.0]))
    assert mix(torch.tensor([[4.0], [8.0]]), graph).ravel().tolist() == [7.0, 8.0]


def test_order_of_parts_does_not_matter_and_interaction_starts_at_zero():
    torch.manual_seed(0)
    network, inputs = PerturbationNetwork(10, 6), _inputs()
    pair = torch.tensor([[1.0, 1, 0, 0, 0, 0]])
    found = network(inputs.features, inputs.part_graph, inputs.gene_graph, pair)
    assert found.shape == (1, 10)
    assert not network.interaction(torch.rand(1, 128)).any()


def test_direction_has_a_gradient():
    predicted = torch.tensor([[-0.05, 0.05]], requires_grad=True)
    direction_loss(predicted, torch.tensor([[0.2, 0.2]]), torch.ones(2)).backward()
    assert predicted.grad[0, 0] < 0  # towards the other direction


def test_focus_counts_large_errors_more():
    truth, scale = torch.zeros(1, 2), torch.ones(2)
    one, two = (focus_loss(torch.full((1, 2), x), truth, scale) for x in (1.0, 2.0))
    assert two > 4 * one


def test_training_learns_rows_and_repeats():
    changes = np.random.default_rng(0).normal(size=(6, 10))
    mean, inputs = changes.mean(0), _inputs()
    trained = [
        train_network(inputs, np.eye(6), changes, mean, seed=1, epochs=n) for n in (0, 150, 150)
    ]
    found = [mean + apply_network(network, inputs, np.eye(6)) for network in trained]
    before, after, again = (((f - changes) ** 2).mean() for f in found)
    assert after < 0.5 * before
    assert after == pytest.approx(again)
    assert np.abs(found[0] - mean).max() < 0.1  # the untrained network predicts the mean
