"""Running a stage: what it trains, which weights remain, how it ends."""

from __future__ import annotations

import signal
import warnings
from functools import partial
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from scvi import settings

from scmomer.data import SparseDataSplitter, split_cells
from scmomer.module import StageConfig
from scmomer.nn import CellBatch
from scmomer.train import (
    Interrupted,
    RunOptions,
    StageProgress,
    clone_state,
    configure,
    possible_stages,
    run_stage,
    seed_stage,
    stage_cells,
    tokens_per_cell,
)
from scmomer.train._callbacks import VALIDATION_LOSS
from scmomer.train._objectives import stage_loss
from scmomer.train._stages import freeze_except, stage_modalities
from scmomer.train.fits import cache_encoders

STAGES = ("rna", "atac", "fusion", "bridge")


@pytest.fixture(autouse=True)
def seed(monkeypatch):
    """Splits are drawn from scvi-tools' seed."""
    monkeypatch.setattr(type(settings), "seed", 3)


@pytest.fixture(autouse=True)
def quiet():
    """Lightning's advice on workers and versions is not what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def run(module, cells, stage: str, *, split=None, callbacks=(), **config):
    """Run a stage on the CPU; return its history."""
    config = {"max_epochs": 2, "lr": 1e-2, "batch_size": 16} | config
    model = SimpleNamespace(
        module=module, is_trained_=False, history_=None, to_device=lambda device: None
    )
    split = split or split_cells(cells.n_cells, 0.7)
    if stage == "bridge":
        cache_encoders(module, cells, split, 0)
    return run_stage(
        model,
        cells,
        split,
        stage,
        StageConfig(**config),
        StageProgress({stage: 1}, enabled=False),
        RunOptions("cpu", 1, True, {"callbacks": list(callbacks)}),
    )


@torch.no_grad()
def validation_loss(module, cells, stage: str, split, batch_size: int = 16) -> float:
    """The loss that the plan computes in validation."""
    data = SparseDataSplitter(
        cells,
        stage_cells(stage, cells, split),
        modalities=stage_modalities(stage, cells),
        batch_size=batch_size,
    )
    batches = list(data.val_dataloader())
    torch.manual_seed(0)
    losses = [float(stage_loss(module.eval(), stage, batch)[0]) for batch in batches]
    return float(np.average(losses, weights=[batch.n_cells for batch in batches]))


# -- what a stage needs


def test_cells_of_a_stage(make_cells):
    cells = make_cells(without={"rna": [0, 1, 2], "atac": [2, 3, 50]})
    split = (np.arange(10), np.arange(10, 40), np.arange(40, 60))
    assert [part.tolist() for part in stage_cells("rna", cells, split)][0] == list(range(3, 10))
    assert stage_cells("atac", cells, split)[0].tolist() == [0, 1, 4, 5, 6, 7, 8, 9]
    for stage, unpaired in (("fusion", True), ("bridge", False)):
        train, validation, test = stage_cells(stage, cells, split, unpaired)
        assert train.tolist() == list(range(4, 10))
        assert len(validation) == 30 and 50 not in test
    train, _, test = stage_cells("bridge", cells, split)  # RNA rebuilds itself, ATAC does not
    assert train.tolist() == list(range(3, 10)) and 50 in test


def test_possible_stages(make_module):
    assert possible_stages(make_module()) == STAGES
    assert possible_stages(make_module(n_peaks=0)) == ("rna",)
    assert possible_stages(make_module(n_genes=0)) == ("atac",)


def test_small_data_get_more_epochs_and_patience():
    config = StageConfig(max_epochs=10, lr=1e-3, batch_size=64, patience=5, min_steps=500)
    wish = {"max_epochs": None, "batch_size": None, "plan_kwargs": None}
    small = configure(config, "bridge", **wish, n_cells=320)  # five batches
    assert (small.max_epochs, small.patience) == (100, 50)
    assert configure(config, "bridge", **wish, n_cells=64 * 50) == config
    assert configure(config, "bridge", **wish) == config
    told = configure(config, "bridge", **{**wish, "max_epochs": 3}, n_cells=320)
    assert (told.max_epochs, told.patience) == (3, 5)
    patient = configure(config, "bridge", **{**wish, "plan_kwargs": {"patience": 7}}, n_cells=320)
    assert (patient.max_epochs, patient.patience) == (100, 7)


def test_configure_takes_wishes_for_all_or_some_stages():
    config = StageConfig(max_epochs=8, lr=1e-3, batch_size=64)

    def wish(stage: str, **kwargs) -> StageConfig:
        nothing = {"max_epochs": None, "batch_size": None, "plan_kwargs": None}
        return configure(config, stage, **(nothing | kwargs))

    assert wish("rna") == config
    assert wish("rna", max_epochs=3).max_epochs == 3
    assert wish("rna", max_epochs={"atac": 3}).max_epochs == 8
    assert wish("atac", max_epochs={"atac": 3}, batch_size=7).batch_size == 7
    assert wish("rna", plan_kwargs={"lr": 1.0, "patience": 2}).lr == 1.0


def test_seed_of_a_stage_does_not_depend_on_those_before():
    draws = []
    for stages in (("rna", "fusion"), ("fusion",)):
        for stage in stages:
            seed_stage(stage)
            draw = torch.rand(3)
        draws.append(draw)
    assert torch.equal(*draws)
    seed_stage("rna")
    assert not torch.equal(torch.rand(3), draws[0])


# -- freezing


@pytest.mark.parametrize("stage", STAGES)
def test_freeze_except_thaws_afterwards(make_module, stage):
    module = make_module(rna_frozen_positions=True)
    before = {k: p.requires_grad for k, p in module.named_parameters()}
    trained = {id(p) for p in module.stage_parameters(stage)}
    with freeze_except(module, stage):
        free = {id(p) for p in module.parameters() if p.requires_grad}
        assert free == trained
    assert {k: p.requires_grad for k, p in module.named_parameters()} == before
    with pytest.raises(RuntimeError, match="broken"), freeze_except(module, stage):
        raise RuntimeError("broken")
    assert {k: p.requires_grad for k, p in module.named_parameters()} == before


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_changes_only_its_parameters(make_module, make_cells, stage):
    module, cells = make_module(), make_cells(without={"rna": [3], "atac": [4]})
    before = clone_state(module)
    names = {id(p): k for k, p in module.named_parameters()}
    trained = {names[id(p)] for p in module.stage_parameters(stage)}
    history = run(module, cells, stage)
    changed = {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and changed <= trained
    assert len(history) == 2 and history.index.name == "epoch"
    assert {"train_loss", VALIDATION_LOSS} <= set(history) and history.notna().all().all()
    assert not module.training


class _Modes(pl.Callback):
    """Notes whether dropout is on."""

    def __init__(self) -> None:
        self.train, self.validation = [], []

    def on_train_batch_start(self, trainer, pl_module, *args) -> None:
        self.train += [m.training for m in pl_module.module.modules()]

    def on_validation_batch_start(self, trainer, pl_module, *args) -> None:
        self.validation += [m.training for m in pl_module.module.modules()]


def test_a_stage_trains_in_training_mode(make_module, make_cells):
    """Also if the network was used before: Lightning keeps the mode that it finds."""
    module, modes = make_module().eval(), _Modes()
    run(module, make_cells(), "fusion", callbacks=[modes])
    assert modes.train and all(modes.train)
    assert modes.validation and not any(modes.validation)


# -- how it ends


class _Spoil(pl.Callback):
    """Worsens the network from the third epoch on."""

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if trainer.current_epoch >= 2:
            for kind in pl_module.module.kinds().values():
                kind.decoder.linear.bias.data += 100


@pytest.mark.parametrize("stage", STAGES)
def test_best_weights_remain(make_module, make_cells, stage):
    module, cells = make_module(), make_cells()
    split = split_cells(60, 0.5)
    history = run(module, cells, stage, split=split, max_epochs=4, callbacks=[_Spoil()])
    losses = history[VALIDATION_LOSS]
    assert losses.idxmin() < 2 and losses[3] > 1.5 * losses.min()
    found = validation_loss(module, cells, stage, split)
    assert found == pytest.approx(losses.min(), rel=1e-4)


@pytest.mark.parametrize("stage", ["rna", "atac"])
def test_validation_hides_the_same_in_every_epoch(make_module, make_cells, stage):
    history = run(make_module(), make_cells(), stage, max_epochs=3, lr=0.0)
    assert history[VALIDATION_LOSS].nunique() == 1
    assert history["train_loss"].nunique() == 3


def test_early_stopping(make_module, make_cells):
    history = run(make_module(), make_cells(), "atac", max_epochs=40, lr=0.3, patience=2)
    assert len(history) < 40
    assert history[VALIDATION_LOSS].idxmin() == len(history) - 3


def test_without_validation_cells_all_epochs_run(make_module, make_cells):
    split = split_cells(60, 1.0)
    history = run(make_module(), make_cells(), "rna", split=split, max_epochs=3)
    assert len(history) == 3 and VALIDATION_LOSS not in history


class _Batches(pl.Callback):
    """Notes the cells of each training batch, and the learning rates."""

    def __init__(self) -> None:
        self.n_cells, self.steps, self.lr = [], 0, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.n_cells.append(batch.n_cells)
        self.steps = trainer.global_step
        self.lr.append(trainer.optimizers[0].param_groups[0]["lr"])


def test_what_does_not_fit_is_accumulated(make_module, make_cells, monkeypatch):
    """A minibatch in two parts takes the same steps."""
    split = split_cells(60, 32 / 60)
    ends = []
    for parts in (1, 2):
        monkeypatch.setattr("scmomer.train._stages.n_parts", lambda *args, n=parts: n)
        module = make_module(input_dropout=0.0, discriminator_weight=0.0)
        batches = _Batches()
        options = {"split": split, "batch_size": 32, "max_epochs": 3, "callbacks": [batches]}
        history = run(module, make_cells(), "fusion", **options)
        assert batches.n_cells == [32 // parts] * 3 * parts and batches.steps == 3
        ends.append((history["train_loss"], batches.lr[-1]))
    np.testing.assert_allclose(ends[1][0], ends[0][0], rtol=1e-4)
    assert ends[0][1] == ends[1][1]


def test_a_run_repeats(make_module, make_cells):
    ends = []
    for _ in range(2):
        module = make_module()
        torch.manual_seed(0)
        run(module, make_cells(), "fusion")
        ends.append(clone_state(module))
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[0])


class _CtrlC(pl.Callback):
    def on_train_batch_end(self, *args, **kwargs) -> None:
        raise KeyboardInterrupt


def test_interruption(make_module, make_cells):
    module, handler = make_module(), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        run(module, make_cells(), "bridge", callbacks=[_CtrlC()])
    assert all(p.requires_grad for p in module.parameters())
    assert signal.getsignal(signal.SIGINT) is handler


class _CtrlCInValidation(pl.Callback):
    def on_validation_epoch_start(self, *args) -> None:
        self.state = torch.get_rng_state()

    def on_validation_batch_end(self, trainer, *args) -> None:
        if not trainer.sanity_checking:
            raise KeyboardInterrupt


def test_an_interruption_of_validation_gives_the_random_stream_back(make_module, make_cells):
    callback = _CtrlCInValidation()
    with pytest.raises(Interrupted):
        run(make_module(), make_cells(), "rna", callbacks=[callback])
    assert torch.equal(torch.get_rng_state(), callback.state)


@pytest.mark.parametrize(("n_tokens", "expected"), [(0, 64), (100, 64), (4096, 8), (1e6, 4)])
def test_batches_shrink_for_long_cells_unless_asked(n_tokens, expected):
    default = StageConfig(max_epochs=1, lr=1e-3, batch_size=64)
    made = partial(configure, default, max_epochs=None, plan_kwargs=None, n_tokens=n_tokens)
    assert made("rna", batch_size=None).batch_size == expected
    assert made("fusion", batch_size=None).batch_size == expected
    assert made("bridge", batch_size=None).batch_size == 64
    assert made("rna", batch_size=32).batch_size == 32


def test_tokens_per_cell(make_cells, make_module):
    cells, module = make_cells(), make_module()
    assert tokens_per_cell(module, cells) == np.quantile(cells.lengths("rna"), 0.9)


@pytest.mark.parametrize("stage", ["atac", "bridge"])
def test_minibatches_prepared_ahead_change_no_weight(make_module, make_cells, monkeypatch, stage):
    """As on a GPU: the order of cells and all random numbers are those of a plain loader."""

    def weights() -> dict[str, torch.Tensor]:
        module = make_module()
        torch.manual_seed(0)
        run(module, make_cells(), stage)
        return clone_state(module)

    plain = weights()
    monkeypatch.setattr("scmomer.data._loader._feeds_gpu", lambda: True)
    monkeypatch.setattr(CellBatch, "pin_memory", lambda cells: cells)
    ahead = weights()
    assert all(torch.equal(plain[name], ahead[name]) for name in plain)


# -- a GPU that is too small


@pytest.mark.parametrize("stage", ["rna", "fusion", "bridge"])
def test_a_stage_begins_again_when_memory_runs_out(make_module, make_cells, monkeypatch, stage):
    """With half the cells at a time, from the same weights, in as many steps."""
    module, cells = make_module(), make_cells()
    start, starts, sizes = clone_state(module), [], []

    def small_memory(module, stage, batch):
        if not starts or (sizes and sizes[-1] > 5):
            starts.append(clone_state(module))
        sizes.append(batch.n_cells)
        if len(sizes) > 2 and batch.n_cells > 5:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return stage_loss(module, stage, batch)

    monkeypatch.setattr("scmomer.train._plan.stage_loss", small_memory)
    with pytest.warns(UserWarning) as told:
        history = run(module, cells, stage)
    told = [str(w.message) for w in told if "ran out of memory" in str(w.message)]
    assert len(told) == 2 and f"Stage {stage!r}" in told[0]
    assert "with 16 cells at a time" in told[0] and "again with 8 at a time" in told[0]
    assert "again with 4 at a time" in told[1] and "a step still has 16 cells" in told[1]
    assert history.shape[0] == 2 and np.isfinite(history["validation_loss"]).all()
    assert sizes[-1] <= 4
    for name, value in starts[-1].items():
        if stage != "bridge":  # whose encoders the helper caches first
            torch.testing.assert_close(value, start[name], equal_nan=True)


def test_a_stage_that_never_fits_says_what_to_do(make_module, make_cells, monkeypatch, refuses):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("scmomer.train._plan.stage_loss", full)
    with refuses(torch.OutOfMemoryError, "2 cells of stage 'rna'", "size='small'"):
        run(make_module(), make_cells(), "rna")


def test_other_errors_are_raised_at_once(make_module, make_cells, monkeypatch):
    calls = []

    def broken(*args):
        calls.append(1)
        raise RuntimeError("expected scalar type Float")

    monkeypatch.setattr("scmomer.train._plan.stage_loss", broken)
    with pytest.raises(RuntimeError, match="scalar type"):
        run(make_module(), make_cells(), "rna")
    assert len(calls) == 1
