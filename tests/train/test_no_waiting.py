"""A training step asks for no value of the GPU: the host would wait for it, and then the GPU."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import scmomer
from scmomer.data import split_cells
from scmomer.module import StageConfig
from scmomer.module.modalities.atac import _encoder as _atac
from scmomer.nn import _losses, _rows
from scmomer.train import RunOptions, StageProgress, run_stage
from scmomer.train.fits import cache_encoders

_PACKAGE = str(Path(scmomer.__file__).parent)
_ALWAYS = {  # what needs a value, or as many as the values say
    "_local_scalar_dense": "item",
    "nonzero": "nonzero",
    "masked_select": "masked_select",
    "_unique2": "unique",
    "unique_consecutive": "unique",
    "unique_dim": "unique",
    "bincount": "bincount",
    "is_nonzero": "bool",
}
# By file and function: what waits all the same, or reads only what the host itself has made.
_ON_HOST = {
    ("_encoder.py", "masked", "nonzero"): "the host draws which patches are hidden",
    ("_rows.py", "_drop_known_numbers", "item"): "the host draws how many counts are kept",
}
_WAITS = {
    ("_tokens.py", "quantile_bins", "bincount"): "is to be computed by packed kernels",
    ("_tokens.py", "pad_expressed", "cpu"): "is to read SparseRows.host_lengths",
    ("_objectives.py", "negatives", "mask"): "keeps false pairs of different labels, if registered",
}


class Waits(TorchDispatchMode):
    """Counts operations after which the host would wait for a GPU, by where they were called."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[str, str, str]] = Counter()

    def note(self, what: str) -> None:
        """Count one, at the innermost frame of the package."""
        stack = traceback.extract_stack(sys._getframe(1))
        here = [f for f in stack if f.filename.startswith(_PACKAGE)] or stack[-4:-3]
        self.found[Path(here[-1].filename).name, here[-1].name, what] += 1

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Note what waits, then do it."""
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in _ALWAYS:
            self.note(_ALWAYS[name])
        elif name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            places = [place for place in args[1] if place is not None]
            if any(place.dtype in (torch.bool, torch.uint8) for place in places):
                self.note("mask")
        elif name == "repeat_interleave" and kwargs.get("output_size") is None:
            self.note("repeat_interleave")
        return func(*args, **kwargs)


class Watch(pl.Callback):
    """Watches two whole steps, from batch to batch: also loading, clipping, optimizer, logging."""

    def __init__(self) -> None:
        self.waits, self.active = Waits(), False

    def on_train_batch_start(self, trainer, plan, batch, index) -> None:
        """Begin with the second step, when the optimizer has its state; end with the fourth."""
        if index == 1:
            self.waits.__enter__()
            self.active = True
        elif index == 3 and self.active:
            self.active = False
            self.waits.__exit__(None, None, None)


@pytest.fixture
def waits(monkeypatch):
    """Watches a stage as on a GPU; copies to the host are noted too."""
    for module in (_rows, _losses, _atac):
        monkeypatch.setattr(module, "waits_for", lambda tensor: True)
    watch = Watch()
    copy = torch.Tensor.cpu

    def noted(tensor, *args, **kwargs):
        if watch.active:
            watch.waits.note("cpu")
        return copy(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "cpu", noted)
    yield watch
    if watch.active:
        watch.waits.__exit__(None, None, None)


def train(module, cells, stage: str, watch: Watch) -> Counter:
    """Train a stage for an epoch; return what waited."""
    split = split_cells(cells.n_cells, 0.9, seed=0)
    if stage == "bridge":
        cache_encoders(module, cells, split, 0)
    model = SimpleNamespace(
        module=module, is_trained_=False, history_=None, to_device=lambda device: None
    )
    config = StageConfig(max_epochs=1, lr=1e-3, batch_size=8)
    options = RunOptions("cpu", 1, True, {"callbacks": [watch]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on workers and versions
        progress = StageProgress({stage: 1}, enabled=False)
        run_stage(model, cells, split, stage, config, progress, options)
    assert not watch.active
    return watch.waits.found


@pytest.mark.parametrize("stage", ["rna", "atac", "fusion", "bridge"])
def test_a_step_waits_for_nothing(make_module, make_cells, waits, stage):
    found = train(make_module(n_batches=2), make_cells(), stage, waits)
    unknown = {place: n for place, n in found.items() if place not in {**_ON_HOST, **_WAITS}}
    assert not unknown


def test_labels_wait_in_one_place(make_module, make_cells, waits):
    cells = make_cells()
    cells.labels = np.arange(60) % 3
    found = train(make_module(), cells, "fusion", waits)
    assert found["_objectives.py", "negatives", "mask"]
    assert not found.keys() - {**_ON_HOST, **_WAITS}.keys()


def test_waiting_would_be_found(make_module, make_cells, waits, monkeypatch):
    def step(plan, batch, index):
        loss = plan._log(batch, "train")
        rows = batch.counts["rna"]
        rows.indices[rows.values > 1], rows.lengths.max().item(), rows.values.cpu()
        if loss > 0:
            return loss
        return loss

    monkeypatch.setattr("scmomer.train._plan.StagePlan.training_step", step)
    found = train(make_module(), make_cells(), "rna", waits)
    kinds = Counter(what for _, _, what in found)
    assert kinds["mask"] and kinds["item"] and kinds["cpu"]
