"""Parts of ``gpu.py`` that train, embed and translate deep cells."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from _deep_cells import deep_cells
from _measure import peak_mb, seconds
from mudata import MuData
from torch.profiler import ProfilerActivity, profile

import scmomer
from scmomer.data import SparseDataSplitter
from scmomer.train import stage_cells

_EPOCHS = 4  # the first is a warm-up, the last is profiled
_PROFILED = 4  # steps
_KERNELS = 12  # most expensive ones that are listed


@dataclass
class Setting:
    """Sizes of a run."""

    device: str
    quick: bool
    stage_seconds: float = 8.0
    """For the warm-up of a stage, and for what is timed."""
    repeats: int = 3
    model: scmomer.SCMOMER | None = None
    mdata: MuData | None = None
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def trained(self) -> scmomer.SCMOMER:
        """The model; raises if its part failed."""
        if self.model is None:
            raise RuntimeError("Expected a model, found none: its part failed.")
        return self.model


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def kernels_of(found: profile) -> dict[str, Any]:
    """Return the time of kernels in a profile, their number, and the most expensive ones."""
    table = []
    for event in found.key_averages():
        own = getattr(event, "self_device_time_total", 0.0) or 0.0
        if own > 0 and not event.key.startswith(("Memcpy", "Memset", "ProfilerStep")):
            table.append((own / 1e6, event.count, event.key[:100]))
    table.sort(reverse=True)
    return {
        "kernel_seconds": sum(row[0] for row in table),
        "n_kernels": sum(row[1] for row in table),
        "kernels": [[name, s, n] for s, n, name in table[:_KERNELS]],
    }


class Timer(pl.Callback):
    """Times the epochs of a stage; a slow one is cut short.

    The first epoch, or its first seconds, is a warm-up. On a GPU, some steps of the last epoch, or
    some after the time is up, are profiled.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting, self.rates, self.profile = setting, [], {}
        self.cells, self.steps, self.n_cells, self.first_step = 0, 0, 0, 0.0
        self._start, self._from, self._warm = 0.0, 0, False
        self._profiler: profile | None = None
        self._profiled = (0, 0)  # steps and cells before it

    def _mark(self) -> None:
        _wait(self.setting.device)
        self._start, self._from = time.perf_counter(), self.cells

    def _note(self) -> None:
        _wait(self.setting.device)
        took = time.perf_counter() - self._start
        self.rates.append((self.cells - self._from) / took)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, in the last epoch the profiler."""
        self._warm = trainer.current_epoch > 0
        self._mark()
        if self._warm and trainer.current_epoch == trainer.max_epochs - 1:
            self._begin_profile()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count; end the epoch, the profile, or a stage that is too slow."""
        n = batch.n_cells
        self.cells, self.steps, self.n_cells = self.cells + n, self.steps + 1, max(self.n_cells, n)
        if self.steps == 1:
            _wait(self.setting.device)
            self.first_step = time.perf_counter() - self._start
        last = batch_idx + 1 == trainer.num_training_batches
        if self._profiler is not None:
            if last or self.steps - self._profiled[0] == _PROFILED:
                self._end_profile()
                trainer.should_stop = True
            return
        late = time.perf_counter() - self._start > self.setting.stage_seconds
        if not self._warm:
            if late:  # the rest of this epoch is timed
                self._warm = True
                self._mark()
        elif last or late:
            self._note()
            if late and not last:
                self._begin_profile()
            trainer.should_stop |= late and self._profiler is None

    def _begin_profile(self) -> None:
        if self.setting.device == "cuda":
            self._profiled = self.steps, self.cells
            self._profiler = profile(activities=[ProfilerActivity.CUDA])
            self._profiler.__enter__()

    def _end_profile(self) -> None:
        _wait(self.setting.device)
        found, self._profiler = self._profiler, None
        assert found is not None
        found.__exit__(None, None, None)
        steps, cells = self.steps - self._profiled[0], self.cells - self._profiled[1]
        self.profile = kernels_of(found) | {"cells": cells, "steps": steps}


def make_model(setting: Setting) -> list[dict[str, Any]]:
    """Draw the cells and build the model."""
    sizes = (120, 400, 900) if setting.quick else (4000, 20_000, 100_000)
    expressed, accessible = (60, 90) if setting.quick else (4290, 8500)
    started = time.perf_counter()
    mdata = deep_cells(*sizes, expressed=expressed, accessible=accessible)
    drawn = time.perf_counter()
    scmomer.pp.setup_mudata(mdata, batch_key="batch")
    if setting.quick:  # the attention of deep cells
        model = scmomer.SCMOMER(mdata, size="small", rna_attention="favor")
    else:
        model = scmomer.SCMOMER(mdata, size="base")
    setting.mdata, setting.model = mdata, model
    stored = {m: np.diff(mdata[m].X.indptr) for m in ("rna", "atac")}
    return [
        {
            "what": "deep cells",
            "cells": sizes[0],
            "genes": sizes[1],
            "peaks": sizes[2],
            "expressed": float(np.median(stored["rna"])),
            "accessible": float(np.median(stored["atac"])),
            "draw_s": drawn - started,
            "set_up_s": time.perf_counter() - drawn,
            "parameters": sum(p.numel() for p in model.module.parameters()),
            "attention": model.config.modalities["rna"].attention,
        }
    ]


def train_stage(setting: Setting, stage: str, **trainer_kwargs: Any) -> list[dict[str, Any]]:
    """Time a stage."""
    model, timer = setting.trained, Timer(setting)
    if setting.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    model.train(
        {stage: _EPOCHS},
        stages=[stage],
        accelerator=setting.device.replace("cuda", "gpu"),
        devices=1,
        early_stopping=False,
        enable_progress_bar=False,
        callbacks=[timer],
        **trainer_kwargs,
    )
    took = time.perf_counter() - started
    if not timer.rates:
        raise RuntimeError(f"Expected an epoch to time, found {timer.cells} cells in {took:.0f} s.")
    rate = statistics.median(timer.rates)
    row: dict[str, Any] = {
        "stage": stage,
        "settings": ", ".join(f"{k}={v}" for k, v in trainer_kwargs.items()) or "default",
        "precision": str(model.trainer.precision),
        "cells_per_s": rate,
        "each": timer.rates,
        "cells_per_step": timer.n_cells,
        "cells_timed": timer.cells,
        "first_step_s": timer.first_step,
        "call_s": took,
        "peak_mb": None,
        "busy": None,
    }
    if setting.device == "cuda":
        row["peak_mb"] = torch.cuda.max_memory_allocated() / 2**20
        if timer.profile.get("cells"):
            per_cell = timer.profile["kernel_seconds"] / timer.profile["cells"]
            row["busy"] = per_cell * rate
            row["profile"] = timer.profile
    setting.stages[f"{stage}, {row['settings']}"] = row
    return [row]


def load(setting: Setting) -> list[dict[str, Any]]:
    """Time the loader alone, in the batches of the stages."""
    model = setting.trained
    cells, rows = model._training_cells(), []
    for stage in ("rna", "fusion"):
        modalities = (stage,) if stage in cells.counts else tuple(cells.counts)
        known = setting.stages.get(f"{stage}, default", {})
        every = np.arange(cells.n_cells)
        split = stage_cells(stage, cells, (every, every[:0], every[:0]))
        n = known.get("cells_per_step", 64)
        data = SparseDataSplitter(cells, split, modalities=modalities, batch_size=n)
        loader = data.train_dataloader()

        def epoch(loader: Any = loader) -> None:
            for _ in loader:
                pass

        times, _ = _repeated(epoch, setting)
        rows.append(
            {
                "stage": stage,
                "cells_per_step": n,
                "cells_per_s": len(every) / statistics.median(times),
                "each_s": times,
            }
        )
    return rows


def _repeated(run: Callable[[], Any], setting: Setting) -> tuple[list[float], Any]:
    """Return the times of some calls after a warm-up, fewer if they are slow, and the result."""
    warm_up, found = seconds(run, setting.device), None
    times: list[float] = []

    def keep() -> None:
        nonlocal found
        found = run()

    while not times or (
        len(times) < setting.repeats and warm_up + sum(times) < 2 * setting.stage_seconds
    ):
        times.append(seconds(keep, setting.device))
    return times, found


def embed(setting: Setting) -> list[dict[str, Any]]:
    """Time the embedding of cells with RNA only, in float32 and in mixed precision."""
    model, query = setting.trained, setting.mdata["rna"].copy()
    query = query[: 64 if setting.quick else 4000].copy()

    def run(cells: Any = query) -> np.ndarray:
        return model.get_latent_representation(cells)

    def mixed(cells: Any = query) -> np.ndarray:
        with torch.autocast(setting.device, torch.bfloat16):
            return model.get_latent_representation(cells)

    few = query[: 16 if setting.quick else 256].copy()
    rows, exact = [], run(few)
    largest = float(np.abs(exact).max())
    for name, each in (("float32", run), ("bfloat16", mixed)):
        seconds(lambda each=each: each(few), setting.device)  # compiles
        peak = peak_mb(lambda each=each: each(few), setting.device)
        times, _ = _repeated(each, setting)
        row = {
            "dtype": name,
            "cells": query.n_obs,
            "cells_per_s": query.n_obs / statistics.median(times),
            "each_s": times,
            "peak_mb": peak,
            "busy": None,
            "largest_value": largest,
            "largest_difference": float(np.abs(each(few) - exact).max()),
        }
        if setting.device == "cuda":
            with profile(activities=[ProfilerActivity.CUDA]) as found:
                each(few)
                torch.cuda.synchronize()
            row["profile"] = kernels_of(found)
            row["busy"] = row["profile"]["kernel_seconds"] / few.n_obs * row["cells_per_s"]
        rows.append(row)
    return rows


def against_cpu(setting: Setting) -> list[dict[str, Any]]:
    """Compare embeddings and translations of a few cells with those of the same model on a CPU."""
    model = setting.trained
    query = setting.mdata["rna"][:12].copy()
    both = setting.mdata[:12].copy()
    found = {}
    for device in (setting.device, "cpu"):
        model.to_device(device)
        found[device] = {
            "embedding, RNA only": model.get_latent_representation(query),
            "embedding, both": model.get_latent_representation(both),
            "translated ATAC": model.get_translated(query, to="atac"),
        }
    model.to_device(setting.device)
    return [
        {
            "what": what,
            "cells": 12,
            "largest_value": float(np.abs(reference).max()),
            "largest_difference": float(np.abs(found[setting.device][what] - reference).max()),
        }
        for what, reference in found["cpu"].items()
    ]


def translate(setting: Setting) -> list[dict[str, Any]]:
    """Time the translation of RNA to all peaks."""
    model = setting.trained
    query = setting.mdata["rna"][: 32 if setting.quick else 1000].copy()
    times, found = _repeated(lambda: model.get_translated(query, to="atac"), setting)
    return [
        {
            "cells": query.n_obs,
            "peaks": found.shape[1],
            "cells_per_s": query.n_obs / statistics.median(times),
            "each_s": times,
        }
    ]
