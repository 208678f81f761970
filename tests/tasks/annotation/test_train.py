"""Folds, early stopping and what class weights do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from scmomer.tasks.annotation._module import ClassifierConfig, ClassifierModule, class_weights
from scmomer.tasks.annotation._train import best_epoch, stratified_folds, train_heads


def test_folds_spread_each_class():
    codes = np.repeat([0, 1, 2], [50, 20, 3])
    folds = stratified_folds(codes, 5, 0)
    assert np.array_equal(np.bincount(folds[:50]), [10] * 5)
    assert np.array_equal(np.bincount(folds[50:70]), [4] * 5)
    assert len(set(folds[70:])) == 3
    assert np.array_equal(folds, stratified_folds(codes, 5, 0))
    assert not np.array_equal(folds, stratified_folds(codes, 5, 1))


@pytest.mark.filterwarnings("error")
def test_few_cells_warn_of_nothing():
    stratified_folds(np.array([0, 0, 0, 0, 0, 1, 1]), 5, 0)


def test_weights_grow_with_rarity_and_average_to_one():
    codes = torch.tensor([0] * 90 + [1] * 9 + [2])
    for power in (0.0, 0.25, 1.0):
        weights = class_weights(codes, 3, power)
        assert weights[codes].mean() == pytest.approx(1, abs=1e-5)
    assert torch.equal(class_weights(codes, 3, 0.0), torch.ones(3))
    one = class_weights(codes, 3, 1.0)
    assert one[1] / one[0] == pytest.approx(10) and one[2] / one[0] == pytest.approx(90)


def test_the_best_epoch_is_restored():
    net = nn.Linear(1, 1)
    scores = iter([1.0, 5.0, 3.0, 2.0, 9.0])
    count = iter(range(1, 9))

    def run() -> None:
        nn.init.constant_(net.weight, float(next(count)))

    assert best_epoch(net, run, lambda: next(scores), 8, patience=2) == 2
    assert net.weight.item() == 2.0  # stopped after epoch 4


def test_the_start_can_be_the_best():
    net = nn.Linear(1, 1)
    nn.init.constant_(net.weight, 7.0)
    scores = iter([4.0, 1.0, 2.0])
    run = lambda: nn.init.zeros_(net.weight)
    assert best_epoch(net, run, lambda: next(scores), 2, 5, at_start=True) == 0
    assert net.weight.item() == 7.0


def test_held_out_cells_are_those_of_the_heads_folds():
    torch.manual_seed(0)
    codes = torch.arange(200) % 2
    x = torch.randn(200, 4) + 3 * codes[:, None]
    config = ClassifierConfig(n_members=3, hidden=8, max_epochs=10)
    module = ClassifierModule(4, 2, 4, config)
    out, epochs = train_heads(module, x, codes, config)
    assert (~np.isnan(out[:, 0])).sum() == 120 and len(epochs) == 3
    known = ~np.isnan(out[:, 0])
    assert (out[known].argmax(1) == codes.numpy()[known]).mean() > 0.9
    out = train_heads(ClassifierModule(4, 2, 4, config), x, codes, config, one_fold=True)[0]
    assert (~np.isnan(out[:, 0])).sum() == 40


def test_missing_inputs_count_as_average():
    config = ClassifierConfig(n_members=1, hidden=8)
    module = ClassifierModule(3, 2, 2, config).eval()
    x = torch.tensor([[1.0, 2.0, torch.nan], [3.0, 6.0, 5.0], [5.0, 4.0, 7.0]])
    module.fit_standardization(x)
    assert torch.allclose(module.mean, torch.tensor([3.0, 4.0, 6.0]))
    filled = torch.where(x.isnan(), module.mean, x)
    assert torch.equal(module(x), module(filled)) and not module(x).isnan().any()


def test_training_hides_the_inputs_that_cells_may_lack():
    config = ClassifierConfig(hidden=8, dropout=0.0, noise=0.0, block_dropout=1.0)
    head = ClassifierModule(3, 2, 2, config).heads[0]
    x = torch.randn(5, 3)
    other = torch.cat([x[:, :2], torch.randn(5, 1)], 1)
    assert torch.equal(head.train()(x), head(other))
    assert not torch.equal(head.eval()(x), head(other))
