"""The GPU benchmark runs as a whole on a CPU, keeps to its budget, and survives errors."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STAGES = ("rna", "atac", "fusion", "bridge")


@pytest.fixture
def gpu(monkeypatch):
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


def run(path: Path, *options: str) -> tuple[dict, str]:
    command = [sys.executable, BENCHMARKS / "gpu.py", "--device", "cpu", "--quick", "--json", path]
    done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    return json.loads(path.read_text()), done.stdout


@pytest.mark.benchmarks
def test_everything_is_measured(tmp_path):
    report, printed = run(tmp_path / "gpu.json", "--sizes", "small")
    parts = {part["part"]: part for part in report["parts"]}
    failed = {name: part.get("traceback") for name, part in parts.items() if not part["rows"]}
    assert not failed
    assert parts.keys() >= {f"stage {s}" for s in STAGES} | {f"stage {s}, float32" for s in STAGES}
    assert {"device", "torch", "triton"} <= report["machine"].keys()
    for stage in STAGES:
        (row,) = parts[f"stage {stage}"]["rows"]
        assert row["cells_per_s"] > 0 and row["cells_timed"] >= 2 * 114
        assert f"stage {stage}, 32-true" in printed
    encoders = [row for name, part in parts.items() if "encoder" in name for row in part["rows"]]
    assert {(r["mode"], r["dtype"]) for r in encoders} == {
        (mode, dtype) for mode in ("forward", "training") for dtype in ("float32", "bfloat16")
    }
    for row in encoders:
        ours, compiled = row["ours"], row["compiled"]
        assert row["times_compiled"] == pytest.approx(
            ours["cells_per_s"] / compiled["cells_per_s"], rel=1e-4
        )
        assert compiled["first_call_s"] > 0
        assert ("cells_per_s" in row["exact"]) == (row["dtype"] == "bfloat16")
        if row["dtype"] == "float32":
            assert row["error_to_theirs"] < 1e-4 and row["error_to_cpu"] < 1e-5
    for row in parts["against the CPU"]["rows"]:
        assert row["largest_difference"] < 1e-6 < row["largest_value"]
    exact, mixed = parts["embedding of RNA-only cells"]["rows"]
    assert exact["largest_difference"] < 1e-5 < mixed["largest_difference"] < 0.1


@pytest.mark.benchmarks
def test_no_part_begins_too_late(tmp_path):
    report, printed = run(tmp_path / "gpu.json", "--seconds", "0")
    assert {part["status"] for part in report["parts"]} == {"not measured: out of time"}
    assert "stage fusion" in printed and "12 further rows" in printed


def test_a_failing_part_is_written_down(gpu):
    def fail():
        raise ValueError("no such kernel")

    record = gpu.run_part(gpu.Part("stages", "one", 1.0, fail), 10.0)
    assert record["status"] == "failed" and "no such kernel" in record["traceback"]
    assert record["rows"] == []


def test_out_of_memory_is_a_result(gpu):
    def fail():
        raise torch.OutOfMemoryError

    record = gpu.run_part(gpu.Part("stages", "one", 1.0, fail), 10.0)
    assert record["status"] == "out of memory"


def test_a_part_that_takes_too_long_is_ended(gpu):
    def slow():
        try:
            time.sleep(20)
        except Exception:  # noqa: BLE001 - as libraries do
            pass
        return []

    record = gpu.run_part(gpu.Part("stages", "one", 0.1, slow), 0.3)
    assert record["status"] == gpu.OUT_OF_TIME
    assert record["seconds"] < 10


def test_what_is_asked_for_comes_with_what_it_needs(gpu):
    args = gpu.parse_args(["--device", "cpu", "--quick", "--only", "translation"])
    names = [p.name for p in gpu.wanted_parts(args, gpu.stages.Setting("cpu", True))]
    assert names == ["deep cells", *(f"stage {s}" for s in STAGES), "translation to ATAC"]


def test_encoder_rows_begin_with_what_matters(gpu):
    setting = gpu.stages.Setting("cpu", True)
    names = [p.name for p in gpu.encoder_parts(setting, list(gpu.SIZES), list(gpu.TOKENS))]
    assert names[0] == "encoder paper 16906 forward bfloat16"
    assert names[2] == "encoder base 4290 forward bfloat16"
    assert names[4] == "encoder paper 16906 forward float32"
    assert len(set(names)) == len(names) == 3 * 4 * 2 * 2


def test_an_opponent_without_memory_is_a_row(gpu, monkeypatch):
    encoder = importlib.import_module("_gpu_encoder")

    def no_memory(self, bins):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(encoder.Pair, "their_hidden", no_memory)
    (row,) = encoder.encoder_row("cpu", "small", 24, "training", "bfloat16", quick=True, repeats=1)
    assert row["performer-pytorch"]["status"] == "out of memory"
    assert row["times_performer-pytorch"] is None and row["times_exact"] > 0
    assert row["error_to_theirs"] is None and row["error_to_cpu"] < 0.1


def test_deep_cells_are_as_deep_as_asked(gpu):
    deep = importlib.import_module("_deep_cells")
    mdata = deep.deep_cells(300, 2000, 5000, expressed=400, accessible=700)
    for name, expected in (("rna", 400), ("atac", 700)):
        lengths = np.diff(mdata[name].X.indptr)
        assert np.median(lengths) == pytest.approx(expected, rel=0.1)
        assert mdata[name].X.has_canonical_format
    # Cells of a type express the same markers.
    rna = mdata["rna"].X.toarray() > 0
    types = mdata.obs["cell_type"].cat.codes.to_numpy()
    shares = np.stack([rna[types == t].mean(0) for t in range(8)])
    assert np.ptp(shares, 0).max() > 0.3


def test_a_slow_stage_is_cut_short(gpu):
    setting = gpu.stages.Setting("cpu", True, stage_seconds=0.0)
    timer = gpu.stages.Timer(setting)
    trainer = SimpleNamespace(
        current_epoch=0, max_epochs=4, num_training_batches=9, should_stop=False
    )
    timer.on_train_epoch_start(trainer, None)
    for i in range(2):
        timer.on_train_batch_end(trainer, None, None, SimpleNamespace(n_cells=5), i)
    assert trainer.should_stop
    assert len(timer.rates) == 1 and timer.cells == 10


def test_epochs_after_the_first_are_timed(gpu):
    timer = gpu.stages.Timer(gpu.stages.Setting("cpu", True, stage_seconds=100.0))
    for epoch in range(3):
        trainer = SimpleNamespace(
            current_epoch=epoch, max_epochs=4, num_training_batches=2, should_stop=False
        )
        timer.on_train_epoch_start(trainer, None)
        for i in range(2):
            timer.on_train_batch_end(trainer, None, None, SimpleNamespace(n_cells=5), i)
        assert not trainer.should_stop
    assert len(timer.rates) == 2


class FakeProfile:
    """Counts its steps."""

    def __init__(self, **_):
        self.open = 0

    def __enter__(self):
        self.open += 1

    def __exit__(self, *_):
        self.open -= 1

    def key_averages(self):
        assert not self.open
        return [SimpleNamespace(key="gemm", self_device_time_total=2e6, count=4)]


@pytest.mark.parametrize("limit", [100.0, 0.0])
def test_some_steps_are_profiled_after_the_timed_ones(gpu, monkeypatch, limit):
    monkeypatch.setattr(gpu.stages, "profile", FakeProfile)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    timer = gpu.stages.Timer(gpu.stages.Setting("cuda", True, stage_seconds=limit))
    trainer = SimpleNamespace(max_epochs=4, num_training_batches=9, should_stop=False)
    for trainer.current_epoch in range(4):
        timer.on_train_epoch_start(trainer, None)
        for i in range(9):
            timer.on_train_batch_end(trainer, None, None, SimpleNamespace(n_cells=5), i)
            if trainer.should_stop:
                break
        if trainer.should_stop:
            break
    assert timer.profile["kernel_seconds"] == 2.0
    assert (timer.profile["steps"], timer.profile["cells"]) == (4, 20)
    # Without a limit two epochs are timed; with none to spare one step after one of warm-up.
    assert len(timer.rates) == (2 if limit else 1)
    assert timer.cells == (3 * 9 + 4) * 5 if limit else (1 + 1 + 4) * 5


def test_copies_are_no_kernels(gpu):
    events = [
        SimpleNamespace(key="gemm", self_device_time_total=3e6, count=2),
        SimpleNamespace(key="Memcpy HtoD", self_device_time_total=5e6, count=1),
        SimpleNamespace(key="cudaLaunchKernel", self_device_time_total=0, count=9),
    ]
    found = gpu.stages.kernels_of(SimpleNamespace(key_averages=lambda: events))
    assert found == {"kernel_seconds": 3.0, "n_kernels": 2, "kernels": [["gemm", 3.0, 2]]}
