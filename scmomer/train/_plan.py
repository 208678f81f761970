"""One training stage as a Lightning module."""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import ExitStack
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from scmomer.module import SCMOMERModule, StageConfig
from scmomer.nn import CellBatch
from scmomer.train._objectives import stage_loss

_WARM_LR = 0.05  # learning rate of warm-started maps, relative to the rest
_LEARNED_LR = 0.1  # likewise of what another model has learned: benchmarks/transfer.py
_VALIDATION_SEED = 0  # the same genes and patches are hidden in every validation epoch


def warmup_cosine(step: int, n_steps: int, warmup: float) -> float:
    """Return the factor of the learning rate: linear rise, then half a cosine to 1 %."""
    n_warm = max(1, int(n_steps * warmup))
    if step < n_warm:
        return (step + 1) / n_warm
    progress = min(1.0, (step - n_warm) / max(1, n_steps - n_warm))
    return 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2


class StagePlan(pl.LightningModule):
    """Minimizes the loss of one stage with AdamW, warm-up and cosine decay per step.

    Parameters
    ----------
    module
        The network.
    stage
        A modality (stage 1), ``"fusion"`` or ``"bridge"``.
    config
        Learning rate, weight decay, warm-up.
    n_steps
        Steps of a full run, for the schedule.
    learned
        Parameters that another model has learned; they move slowly.
    """

    def __init__(
        self,
        module: SCMOMERModule,
        stage: str,
        config: StageConfig,
        n_steps: int,
        learned: Collection[nn.Parameter] = (),
    ):
        super().__init__()
        self._learned = {id(p) for p in learned}
        self.module, self.stage, self.stage_config = module, stage, config
        self.n_steps = n_steps
        self._validation = ExitStack()

    def _log(self, batch: CellBatch, split: str) -> Tensor:
        loss, terms = stage_loss(self.module, self.stage, batch)
        metrics = {f"{split}_loss": loss}
        metrics |= {f"{name}_{split}": value for name, value in terms.items()}
        # self.log_dict tracks epoch means; no value leaves the device within a step.
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=batch.n_cells)
        return loss

    def training_step(self, batch: CellBatch, batch_idx: int) -> Tensor:
        """Loss of a minibatch."""
        return self._log(batch, "train")

    def validation_step(self, batch: CellBatch, batch_idx: int) -> None:
        """Loss of a validation minibatch."""
        self._log(batch, "validation")

    @torch.no_grad()
    def validation_loss(self, trainer: pl.Trainer) -> float | None:
        """Return the loss of the validation cells outside of an epoch; None if there are none."""
        loader = trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        losses, n_cells = [], []
        mode = self.module.training
        self.module.eval()
        self.on_validation_epoch_start()
        for cells in loader:
            batch = self.transfer_batch_to_device(cells, self.device, 0)
            with trainer.precision_plugin.forward_context():  # as in the epochs that follow
                losses.append(stage_loss(self.module, self.stage, batch)[0])
            n_cells.append(batch.n_cells)
        self.on_validation_epoch_end()
        self.module.train(mode)
        if not losses:
            return None
        weights = torch.tensor(n_cells, dtype=torch.float32, device=self.device)
        return float((torch.stack(losses) * weights).sum() / weights.sum())

    def on_validation_epoch_start(self) -> None:
        """Fix what validation hides, so that its losses can be compared between epochs."""
        devices = [self.device] if self.device.type == "cuda" else []
        self._validation.enter_context(torch.random.fork_rng(devices))
        torch.manual_seed(_VALIDATION_SEED)

    def on_validation_epoch_end(self) -> None:
        """Give training its random stream back; also called when training is cut short."""
        self._validation.close()

    def configure_optimizers(self) -> Any:
        """AdamW on the parameters of the stage; only matrices decay."""
        groups = self._groups()
        # One fused kernel for all parameters; with float16 it would unscale gradients after they
        # are clipped.
        fused = self._precision != "16-mixed" and self.device.type in ("cpu", "cuda")
        optimizer = torch.optim.AdamW(groups, lr=self.stage_config.lr, fused=fused)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, self.n_steps, self.stage_config.warmup)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    @property
    def _precision(self) -> str:
        return self._trainer.precision if self._trainer is not None else "32-true"

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as Lightning does, which refuses fused optimizers under bfloat16 too.

        It does so for the sake of float16, whose gradients are scaled; those of bfloat16 are not.
        """
        if self._precision != "bf16-mixed" or not gradient_clip_val:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(parameters, gradient_clip_val)
        else:
            nn.utils.clip_grad_norm_(parameters, gradient_clip_val)

    def _groups(self) -> list[dict[str, Any]]:
        """Matrices decay, other parameters do not; warm-started maps move slowly up to stage 3."""
        warm = set() if self.stage == "bridge" else set(map(id, self.module.slow_parameters()))
        groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
        for p in self.module.stage_parameters(self.stage):
            rate = _LEARNED_LR if id(p) in self._learned else 1.0
            rate *= _WARM_LR if id(p) in warm else 1.0
            groups.setdefault((p.ndim >= 2, rate), []).append(p)
        config = self.stage_config
        return [
            {
                "params": parameters,
                "weight_decay": config.weight_decay if decays else 0.0,
                "lr": config.lr * rate,
            }
            for (decays, rate), parameters in groups.items()
        ]
