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


def trainer_at(loss: float, epoch: int = 1, max_epochs: int = 3) -> SimpleNamespace:
    """A trainer after the validation of an epoch."""
    return SimpleNamespace(
        current_epoch=epoch,
        max_epochs=max_epochs,
        callback_metrics={VALIDATION_LOSS: torch.tensor(loss)},
        sanity_checking=False,
    )


def test_one_bar_for_all_stages(capsys):
    progress = StageProgress({"rna": 6, "fusion": 4}, enabled=True)
    progress.start("rna")
    progress.on_train_epoch_start(trainer_at(0.0), None)
    for _ in range(2):
        progress.on_train_batch_end()
    assert progress._bar.n == 2
    progress.parts = 2  # a minibatch in two parts
    for _ in range(2):
        progress.on_train_batch_end()
    assert progress._bar.n == 3
    progress.on_validation_epoch_end(trainer_at(0.1234), None)
    progress._bar.refresh()
    progress.finish("rna")  # stopped early
    assert (progress._bar.n, progress._bar.total) == (6, 10)
    progress.start("fusion")
    progress.on_train_epoch_start(trainer_at(0.0), None)
    progress._bar.refresh()
    progress.finish("fusion")
    assert progress._bar.n == 10
    progress.close()
    shown = capsys.readouterr().out.split("\r")
    first, second = (next(x for x in shown if f"({s}), epoch 2/3" in x) for s in ("rna", "fusion"))
    assert "stage 1/3" in first
    assert "stage 2/3" in second and "0.123" not in second  # a loss of another kind


def shown_losses(capsys, stage: str, losses) -> list[str]:
    """The end of the bar after each validation."""
    progress, lines = StageProgress({stage: 1000}, enabled=True), []
    progress.start(stage)
    for loss in losses:
        progress.on_train_epoch_start(trainer_at(loss, 98, 100), None)
        progress.on_validation_epoch_end(trainer_at(loss), None)
        capsys.readouterr()
        progress._bar.refresh()
        lines.append(capsys.readouterr().out.strip())
    progress.close()
    return lines


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("rna", "hidden genes + profile"),
        ("atac", "hidden peaks + profile"),
        ("protein", "hidden + all proteins"),
        ("fusion", "rebuilt profiles + pairs"),
        ("bridge", "translated profiles"),
    ],
)
def test_the_bar_says_what_the_loss_is_of_and_the_lowest(capsys, stage, words):
    lines = shown_losses(capsys, stage, [2.0, 1.25, float("nan"), 20.5])
    expected = ["2.000, best 2.000", "1.250, best 1.250", "nan, best 1.250"]
    for line, numbers in zip(lines, [*expected, "20.500, best 1.250"], strict=True):
        assert line.endswith(f"loss of {words} {numbers}")
        assert len(line) + len("00:00") <= 115  # the time that remains is not known here


def test_a_sanity_check_is_not_shown(capsys):
    progress = StageProgress({"rna": 6}, enabled=True)
    progress.start("rna")
    trainer = trainer_at(0.1)
    trainer.sanity_checking = True
    progress.on_validation_epoch_end(trainer, None)
    progress._bar.refresh()
    progress.close()
    assert "loss" not in capsys.readouterr().out


def test_the_bar_can_be_off(capsys):
    progress = StageProgress({"rna": 6}, enabled=False)
    progress.start("rna")
    progress.on_train_batch_end()
    progress.finish("rna")
    progress.close()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
