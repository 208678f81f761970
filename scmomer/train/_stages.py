"""Running the stages one after another through scvi-tools' TrainRunner and Lightning."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from scvi import settings
from scvi.train import TrainRunner

from scmomer._checks import whole_number
from scmomer._constants import RNA
from scmomer.data import Cells, SparseDataSplitter, Split
from scmomer.module import MODALITY_TYPES, SCMOMERModule, StageConfig
from scmomer.nn import free_memory, is_out_of_memory
from scmomer.train._callbacks import VALIDATION_LOSS, KeepBest, StageProgress, clone_state
from scmomer.train._device import choose_precision, training_device
from scmomer.train._memory import bytes_per_cell, log_fit, more_parts, n_parts, tokens_per_cell
from scmomer.train._plan import StagePlan
from scmomer.train._stop import own_stops, run_quietly

_TOKENS_PER_BATCH = 2**15  # on a CPU: about 1.5 GB of activations in the small size
_MIN_BATCH = 4
# On a GPU steps have more cells than the preset, as long as many steps remain and it is busy.
_TOKENS_ON_GPU = 2**20
_MAX_GROWTH = 4
_PLENTY = 4  # times min_steps
# Stages of further modalities follow, so that runs of these repeat.
_SEEDS = ("rna", "atac", "fusion", "bridge")


@dataclass(frozen=True)
class RunOptions:
    """How every stage runs."""

    accelerator: str = "auto"
    devices: int | list[int] | str = "auto"
    early_stopping: bool = True
    trainer_kwargs: dict[str, Any] = field(default_factory=dict)
    learned: tuple[torch.nn.Parameter, ...] = ()
    """Of a model that this one began with: they move slowly."""

    def __post_init__(self) -> None:
        """Take the default precision of the device, or refuse one that it cannot have."""
        chosen = choose_precision(self.device, self.trainer_kwargs)
        object.__setattr__(self, "trainer_kwargs", chosen)

    @property
    def device(self) -> torch.device:
        """The (first) device that trains."""
        return training_device(self.accelerator, self.devices)

    @property
    def on_gpu(self) -> bool:
        """Whether minibatches are those of a CUDA device."""
        return self.device.type == "cuda"


def stage_modalities(stage: str, cells: Cells) -> tuple[str, ...]:
    """Return the modalities that a stage reads."""
    return (stage,) if stage in MODALITY_TYPES else tuple(cells.counts)


def stage_cells(stage: str, cells: Cells, split: Split, unpaired: bool = True) -> Split:
    """Return the part of the split that has what the stage needs.

    Stage 1 needs its modality, stage 2 two of them. In stage 3 cells with RNA alone take part, if
    `unpaired`, for what it rebuilds of itself.
    """
    if stage in MODALITY_TYPES:
        needed = cells.measured[stage]
    else:
        needed = cells.n_measured > 1
        if stage == "bridge" and unpaired and RNA in cells.measured:
            needed = needed | cells.measured[RNA]
    return tuple(part[needed[part]] for part in split)  # type: ignore[return-value]


def n_steps(stage: str, cells: Cells, split: Split, config: StageConfig, unpaired: bool) -> int:
    """Return the training steps of a stage, if no early stop cuts it short."""
    train = stage_cells(stage, cells, split, unpaired)[0]
    patterns = cells.patterns(train, stage_modalities(stage, cells))
    _, n_cells = np.unique(patterns, return_counts=True)  # minibatches hold one pattern each
    return config.max_epochs * int((-(-n_cells // config.batch_size)).sum())


def has_cells(stage: str, cells: Cells, unpaired: bool) -> bool:
    """Return whether any cell has what a stage needs."""
    if stage in MODALITY_TYPES and stage not in cells.counts:
        return False
    every = np.arange(cells.n_cells)
    return len(stage_cells(stage, cells, (every, every, every), unpaired)[0]) > 0


def builds_on(stage: str, module: SCMOMERModule) -> tuple[str, ...]:
    """Return the stages that come before one."""
    if stage == "fusion":
        return tuple(module.modalities)
    return (*module.modalities, "fusion") if stage == "bridge" else ()


@contextmanager
def held(parameters: Iterable[torch.nn.Parameter]) -> Iterator[None]:
    """Keep parameters from being trained."""
    frozen = [p for p in parameters if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def possible_stages(module: SCMOMERModule) -> tuple[str, ...]:
    """Return the stages that a model of these modalities has."""
    return (*module.modalities, *(("fusion", "bridge") if module.paired else ()))


def invalidated_stages(stages: Iterable[str]) -> set[str]:
    """Return some stages and all that build on them."""
    found = set(stages)
    if found & {*MODALITY_TYPES}:
        found.add("fusion")
    return found | {"bridge"} if "fusion" in found else found


def configure(
    config: StageConfig,
    stage: str,
    *,
    max_epochs: int | dict[str, int] | None,
    batch_size: int | dict[str, int] | None,
    plan_kwargs: dict[str, Any] | None,
    n_tokens: float = 0.0,
    n_cells: int | None = None,
    on_gpu: bool = False,
) -> StageConfig:
    """Return a stage's configuration with the user's overrides; dictionaries name stages.

    By default the batch is made smaller where cells have many tokens (`n_tokens` of a
    typical cell), because training memory grows with both; and small data, `n_cells` to train on,
    get more epochs (``min_steps``), with as much more patience. On a CUDA device the batch is not
    made smaller, and larger for large data; see :func:`grown`.
    """
    overrides: dict[str, Any] = dict(plan_kwargs or {})
    if unknown := sorted(set(overrides) - {f.name for f in fields(StageConfig)}):
        known = ["lr", "weight_decay", "patience", "warmup"]
        msg = f"Expected plan_kwargs among {known}, found {unknown}. Use these names."
        raise ValueError(msg)
    if n_tokens > 0 and stage != "bridge" and not on_gpu:
        fits = max(_MIN_BATCH, int(_TOKENS_PER_BATCH / n_tokens))
        overrides["batch_size"] = min(config.batch_size, fits)
    for name, value in (("max_epochs", max_epochs), ("batch_size", batch_size)):
        value = value.get(stage) if isinstance(value, dict) else value
        if value is not None:
            remedy = " To run some stages only, name these in stages=."
            overrides[name] = whole_number(name, value, remedy if name == "max_epochs" else "")
    chosen = replace(config, **overrides)
    if on_gpu and stage != "bridge" and n_cells and not {"batch_size", "lr"} & set(overrides):
        chosen = grown(chosen, n_tokens, n_cells)
    if "max_epochs" in overrides or not n_cells:
        return chosen
    needed = -(-chosen.min_steps // -(-n_cells // chosen.batch_size))
    if needed <= chosen.max_epochs:
        return chosen
    patience = chosen.patience
    if "patience" not in overrides:
        patience = -(-patience * needed // chosen.max_epochs)
    return replace(chosen, max_epochs=needed, patience=patience)


def grown(config: StageConfig, n_tokens: float, n_cells: int) -> StageConfig:
    """Return a configuration with more cells in each step of a GPU, for data that allow it.

    Up to 4 times the batch, while a step has at most about a million tokens and the stage still has
    4 times ``min_steps``: only steps that it has beyond these are given up, and small data keep
    their batches. The learning rate of AdamW grows with the square root, as the noise of the mean
    gradient falls with it. Stages without ``min_steps``, those of the published size, stay.
    """
    if not config.min_steps:
        return config
    steps_left = n_cells * config.max_epochs / (_PLENTY * config.min_steps)
    tokens_left = _TOKENS_ON_GPU / max(1.0, n_tokens)
    size = int(min(_MAX_GROWTH * config.batch_size, steps_left, tokens_left))
    if size <= config.batch_size:
        return config
    factor = (size / config.batch_size) ** 0.5
    return replace(config, batch_size=size, lr=config.lr * factor)


def run_stage(
    model: Any,
    cells: Cells,
    split: Split,
    stage: str,
    config: StageConfig,
    progress: StageProgress,
    options: RunOptions,
    improve: bool = False,
) -> pd.DataFrame:
    """Train one stage; return its history, one row for each epoch.

    `model` is what scvi-tools' ``TrainRunner`` updates. Its module ends with the best weights; if it
    is to `improve` what it begins with, these weights compete. A minibatch that does not fit into
    the memory of a GPU is computed in parts, whose gradients are accumulated; if memory runs out
    all the same, the stage begins again with smaller parts.

    Raises
    ------
    Interrupted
        On Ctrl-C; the module is left as it was at that moment.
    Terminated
        On SIGTERM, likewise.
    torch.OutOfMemoryError
        If two cells do not fit.
    """
    module, device = model.module, options.device
    parts, per_cell, n_tokens, modalities = 1, 0.0, 0.0, stage_modalities(stage, cells)
    if stage != "bridge":  # whose encoders are frozen and cached
        n_tokens = tokens_per_cell(module, cells, modalities)
        per_cell = bytes_per_cell(module, cells, modalities)
        parts = n_parts(config.batch_size, per_cell, module, free_memory(device))
    log_fit(
        stage,
        module,
        device,
        batch_size=config.batch_size,
        parts=parts,
        n_tokens=n_tokens,
        per_cell=per_cell,
        precision=str(options.trainer_kwargs.get("precision", "32-true")),
    )
    start = clone_state(module)
    while True:
        try:
            return _run_once(model, cells, split, stage, config, progress, options, parts, improve)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        # Only here, where the error no longer refers to what fills the memory.
        module.zero_grad(set_to_none=True)
        parts = more_parts(stage, config.batch_size, parts, device)
        module.load_state_dict(start)
        progress.start(stage)
        seed_stage(stage)


def _run_once(
    model: Any,
    cells: Cells,
    split: Split,
    stage: str,
    config: StageConfig,
    progress: StageProgress,
    options: RunOptions,
    parts: int,
    improve: bool,
) -> pd.DataFrame:
    """Train a stage with each minibatch in so many parts."""
    best = KeepBest(at_start=improve)
    progress.parts = parts
    data = SparseDataSplitter(
        cells,
        stage_cells(stage, cells, split, model.module.config.bridge.use_unpaired_rna),
        modalities=stage_modalities(stage, cells),
        batch_size=-(-config.batch_size // parts),
    )
    trainer_kwargs = _trainer_kwargs(
        options, config, parts, [best, progress], validates=data.n_val > 0
    )
    steps = -(-len(data.train_dataloader()) // trainer_kwargs["accumulate_grad_batches"])
    n_steps = config.max_epochs * max(1, steps)
    plan = StagePlan(model.module, stage, config, n_steps, options.learned)
    model.is_trained_, model.history_ = False, None  # a stage's history starts empty
    model.module.train()  # Lightning keeps the mode that it finds
    with freeze_except(model.module, stage), _quiet_lightning(), own_stops():
        runner = TrainRunner(
            model,
            plan,
            data,
            max_epochs=config.max_epochs,
            accelerator=options.accelerator,
            devices=options.devices,
            **trainer_kwargs,
        )
        try:
            run_quietly(runner)
        finally:
            plan.on_validation_epoch_end()
    best.restore(model.module)
    return _as_table(model.history_)


def _trainer_kwargs(
    options: RunOptions,
    config: StageConfig,
    parts: int,
    callbacks: list[Callback],
    *,
    validates: bool,
) -> dict[str, Any]:
    """Return what the Trainer gets: the stage's needs, then the user's overrides."""
    overrides = dict(options.trainer_kwargs)
    patience = overrides.pop("early_stopping_patience", config.patience)
    min_delta = overrides.pop("early_stopping_min_delta", 0.0)
    if options.early_stopping and validates:
        # Not scvi-tools' own, which prints into the progress bar.
        callbacks = [*callbacks, EarlyStopping(VALIDATION_LOSS, min_delta, patience)]
    return {
        "gradient_clip_val": 5.0,
        "check_val_every_n_epoch": 1 if validates else None,
        "log_every_n_steps": 1,
        **overrides,
        "accumulate_grad_batches": parts * overrides.get("accumulate_grad_batches", 1),
        "enable_progress_bar": False,
        "simple_progress_bar": False,
        "callbacks": [*callbacks, *overrides.get("callbacks", [])],
    }


@contextmanager
def freeze_except(module: SCMOMERModule, stage: str) -> Iterator[None]:
    """Freeze what the stage does not train, and thaw it afterwards."""
    trained = {id(p) for p in module.stage_parameters(stage)}
    with held(p for p in module.parameters() if id(p) not in trained):
        yield


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "pytorch_lightning")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Lightning's own use of a renamed torch name; nothing that a user could change.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _as_table(history: dict[str, pd.DataFrame] | None) -> pd.DataFrame:
    columns = {k: v.iloc[:, 0].astype(float) for k, v in (history or {}).items()}
    by_epoch = {k: v for k, v in columns.items() if v.index.name == "epoch"}
    table = pd.DataFrame(by_epoch)
    table.index.name = "epoch"
    return table


def seed_stage(stage: str) -> None:
    """Seed a stage from :attr:`scvi.settings.seed`, so that it does not depend on those before."""
    if settings.seed is not None:
        stages = [*_SEEDS, *(m for m in MODALITY_TYPES if m not in _SEEDS)]
        torch.manual_seed(settings.seed + stages.index(stage))
