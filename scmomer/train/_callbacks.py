"""Callbacks of a stage: best weights, one progress bar for all stages, epoch checkpoints."""

from __future__ import annotations

import sys
from typing import Any, cast

import lightning.pytorch as pl
import torch
from torch import Tensor
from tqdm.auto import tqdm

from scmomer.module import MODALITY_TYPES
from scmomer.train._plan import StagePlan

VALIDATION_LOSS = "validation_loss"
# What the loss of a stage is of; see scmomer.train._objectives.
_LOSS = {
    "protein": "hidden + all proteins",  # the usual words would make the bar too long
    "fusion": "rebuilt profiles + pairs",
    "bridge": "translated profiles",
}
_NUMBER = {"fusion": 2, "bridge": 3}  # of other stages 1


def _loss_of(stage: str) -> str:
    return _LOSS.get(stage) or f"hidden {MODALITY_TYPES[stage].feature_name} + profile"


def clone_state(module: torch.nn.Module) -> dict[str, Tensor]:
    """Return a copy of a module's state that training does not change."""
    return {k: v.detach().clone() for k, v in module.state_dict().items()}


class KeepBest(pl.Callback):
    """Remembers the weights of the epoch with the lowest validation loss.

    :meth:`restore` puts them back after the stage. Without validation cells nothing is remembered
    and the last weights stay.

    Parameters
    ----------
    at_start
        Whether the weights before the first epoch compete: those of a trained model.
    """

    def __init__(self, at_start: bool = False) -> None:
        self.at_start = at_start
        self.best_loss = float("inf")
        self.best_epoch: int | None = None
        self._weights: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the weights and compute their validation loss, if they compete."""
        loss = cast(StagePlan, pl_module).validation_loss(trainer) if self.at_start else None
        if loss is not None:
            self.best_loss, self.best_epoch = loss, -1
            self._weights = clone_state(_module(pl_module))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the weights if the loss is the lowest so far."""
        loss = trainer.callback_metrics.get(VALIDATION_LOSS)
        if loss is None or trainer.sanity_checking or not float(loss) < self.best_loss:
            return
        self.best_loss, self.best_epoch = float(loss), trainer.current_epoch
        self._weights = clone_state(_module(pl_module))

    def restore(self, module: torch.nn.Module) -> None:
        """Load the remembered weights into `module`."""
        if self._weights:
            module.load_state_dict(self._weights)
            self._weights = {}

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"loss": self.best_loss, "epoch": self.best_epoch, "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.best_loss, self.best_epoch = state_dict["loss"], state_dict["epoch"]
        self._weights = state_dict["weights"]


def _module(plan: pl.LightningModule) -> torch.nn.Module:
    return plan.module  # type: ignore[return-value]


class StageProgress(pl.Callback):
    """Moves one bar through all stages: stage, epoch, validation loss and the lowest so far.

    Losses are named by what they are of: those of two stages cannot be compared.

    Parameters
    ----------
    n_steps
        Training steps of each stage at its maximal number of epochs.
    enabled
        Show the bar.
    """

    def __init__(self, n_steps: dict[str, int], enabled: bool) -> None:
        self._ends = dict(zip(n_steps, _running_sum(n_steps.values()), strict=True))
        self._starts = {stage: end - n_steps[stage] for stage, end in self._ends.items()}
        total = sum(n_steps.values())
        form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        self._bar = tqdm(
            total=total,
            disable=not enabled,
            bar_format=form,
            file=sys.stdout,
            mininterval=0.5 if sys.stdout.isatty() else 10,
        )
        self._prefix, self._loss, self._lowest = "", "", float("inf")
        self.parts = 1  # in which a minibatch is computed

    def start(self, stage: str) -> None:
        """Name the stage that begins, perhaps for a second time."""
        self._bar.n = self._starts[stage]
        self._prefix = f"stage {_NUMBER.get(stage, 1)}/3 ({stage})"
        self._loss, self._lowest = _loss_of(stage), float("inf")
        self._bar.set_postfix_str("", refresh=False)  # the loss there is of the stage before

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Name the epoch."""
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self._bar.set_description_str(f"{self._prefix}, {epoch}", refresh=False)

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Move by one step, or its part."""
        self._bar.update(1 / self.parts)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the validation loss."""
        loss = trainer.callback_metrics.get(VALIDATION_LOSS)
        if loss is None or trainer.sanity_checking:
            return
        if float(loss) < self._lowest:
            self._lowest = float(loss)
        self._bar.set_postfix_str(
            f"loss of {self._loss} {float(loss):.3f}, best {self._lowest:.3f}", refresh=False
        )

    def finish(self, stage: str) -> None:
        """Jump to where the stage would have ended without early stopping."""
        self._bar.update(max(0, self._ends[stage] - self._bar.n))

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


def _running_sum(values: Any) -> list[int]:
    sums, total = [], 0
    for value in values:
        total += value
        sums.append(total)
    return sums
