"""Callbacks: the best weights come back, one bar counts all steps."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from scmomer.train import StageProgress
from scmomer.train._callbacks import VALIDATION_LOSS, KeepBest


def epochs(keep: KeepBest, module: nn.Linear, losses, *, sanity: bool = False) -> None:
    """Validate once for each loss; the weights are then the number of the epoch."""
    for epoch, loss in enumerate(losses):
        nn.init.constant_(module.weight, epoch)
        trainer = SimpleNamespace(
            callback_metrics={} if loss is None else {VALIDATION_LOSS: torch.tensor(loss)},
            sanity_checking=sanity,
            current_epoch=epoch,
        )
        keep.on_validation_epoch_end(trainer, SimpleNamespace(module=module))


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ([3.0, 1.0, 2.0], 1),
        ([1.0, 2.0, 3.0], 0),
        ([3.0, 2.0, 1.0], 2),
        ([float("nan"), 2.0, float("nan")], 1),
        ([2.0, 2.0], 0),
    ],
)
def test_keep_best_restores_the_best_epoch(losses, best):
    keep, module = KeepBest(), nn.Linear(2, 1)
    epochs(keep, module, losses)
    keep.restore(module)
    assert (module.weight == best).all()
    assert (keep.best_epoch, keep.best_loss) == (best, losses[best])


@pytest.mark.parametrize("losses", [[None, None], [float("nan")]])
def test_without_a_loss_the_last_weights_stay(losses):
    keep, module = KeepBest(), nn.Linear(2, 1)
    epochs(keep, module, losses)
    keep.restore(module)
    assert (module.weight == len(losses) - 1).all() and keep.best_epoch is None


def test_a_sanity_check_does_not_count():
    keep, module = KeepBest(), nn.Linear(2, 1)
    epochs(keep, module, [0.1], sanity=True)
    assert keep.best_epoch is None


def test_keep_best_continues_from_a_checkpoint():
    keep, module = KeepBest(), nn.Linear(2, 1)
    epochs(keep, module, [5.0, 1.0, 2.0])
    again = KeepBest()
    again.load_state_dict(keep.state_dict())
    epochs(again, module, [3.0])
    again.restore(module)
    assert (module.weight == 1).all() and again.best_epoch == 1


def test_one_bar_for_all_stages(capsys):
    progress = StageProgress({"rna": 6, "fusion": 4}, enabled=True)
    trainer = SimpleNamespace(
        current_epoch=1, max_epochs=3, callback_metrics={VALIDATION_LOSS: torch.tensor(0.1234)}
    )
    progress.start("rna")
    progress.on_train_epoch_start(trainer, None)
    for _ in range(2):
        progress.on_train_batch_end()
    assert progress._bar.n == 2
    progress.on_validation_epoch_end(trainer, None)
    progress.finish("rna")  # stopped early
    assert (progress._bar.n, progress._bar.total) == (6, 10)
    progress.start("fusion")
    progress.on_train_epoch_start(trainer, None)
    progress._bar.refresh()
    progress.finish("fusion")
    assert progress._bar.n == 10
    progress.close()
    shown = capsys.readouterr().out
    assert "stage 2/3 (fusion), epoch 2/3" in shown and "validation loss 0.1234" in shown


def test_the_bar_can_be_off(capsys):
    progress = StageProgress({"rna": 6}, enabled=False)
    progress.start("rna")
    progress.on_train_batch_end()
    progress.finish("rna")
    progress.close()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
