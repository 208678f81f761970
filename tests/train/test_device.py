"""Precision and batches of training by device."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scmomer.module import StageConfig
from scmomer.train import RunOptions, _device, configure
from scmomer.train._device import choose_precision, training_device

CPU, CARD, APPLE = torch.device("cpu"), torch.device("cuda:0"), torch.device("mps")


@pytest.fixture
def capability(monkeypatch):
    """Whether the pretended card has bfloat16."""

    def make(has: bool) -> None:
        monkeypatch.setattr(_device, "has_bfloat16", lambda device: has and device.type == "cuda")

    return make


def test_a_new_card_trains_in_bfloat16_unless_told_otherwise(capability):
    capability(True)
    assert choose_precision(CARD, {"callbacks": []}) == {
        "callbacks": [],
        "precision": "bf16-mixed",
    }
    for wish in ("32-true", "16-mixed", "bf16-mixed", 64):
        assert choose_precision(CARD, {"precision": wish}) == {"precision": wish}
    assert choose_precision(CARD, {"plugins": []}) == {"plugins": []}


def test_other_devices_train_in_float32(capability):
    capability(True)
    assert choose_precision(CPU, {}) == choose_precision(APPLE, {}) == {}
    capability(False)
    assert choose_precision(CARD, {}) == {}


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed", "bf16-true", "bf16", 16])
def test_sixteen_bits_on_a_cpu_are_refused(precision, refuses):
    found = repr(precision)
    with refuses(ValueError, "'32-true'", found, "hundreds of times slower", "accelerator='gpu'"):
        choose_precision(CPU, {"precision": precision})


def test_options_know_their_device_and_precision(capability, monkeypatch, refuses):
    options = RunOptions("cpu")
    assert options.device == training_device("cpu", "auto") == CPU
    assert options.trainer_kwargs == {} and not options.on_gpu
    with refuses(ValueError, "'32-true'", "'bf16-mixed'"):
        RunOptions("cpu", trainer_kwargs={"precision": "bf16-mixed"})
    capability(True)
    monkeypatch.setattr("scmomer.train._stages.training_device", lambda *args: CARD)
    options = RunOptions("gpu")
    assert options.trainer_kwargs == {"precision": "bf16-mixed"} and options.on_gpu


WISH = {"max_epochs": None, "batch_size": None, "plan_kwargs": None, "on_gpu": True}


def test_batches_on_a_gpu_are_not_cut():
    config = StageConfig(max_epochs=1, batch_size=64, min_steps=50)
    deep = {"n_tokens": 4290, "n_cells": 3800}
    assert configure(config, "rna", **WISH, **deep).batch_size == 64
    assert configure(config, "rna", **(WISH | {"on_gpu": False}), **deep).batch_size == 7


def test_batches_on_a_gpu_grow_with_the_data():
    config = StageConfig(max_epochs=1, lr=1e-3, batch_size=64, min_steps=50)

    def found(n_cells: int, n_tokens: float = 4290, stage: str = "rna", **wish) -> StageConfig:
        return configure(config, stage, **(WISH | wish), n_tokens=n_tokens, n_cells=n_cells)

    assert found(12_800) == config  # 200 steps, as many as are kept
    large = found(25_600)
    assert large.batch_size == 128 and large.lr == pytest.approx(1e-3 * 2**0.5)
    assert (large.max_epochs, large.patience) == (1, 5)
    huge = found(10**6, n_tokens=100)
    assert huge.batch_size == 256 and huge.lr == pytest.approx(2e-3)
    assert found(10**6, n_tokens=2**20 / 100).batch_size == 100
    # Nothing grows that the user sets, that has no tokens to be busy with, or that is published.
    assert found(10**6, batch_size=32).batch_size == 32
    assert found(10**6, plan_kwargs={"lr": 1.0}) == replace(config, lr=1.0)
    assert found(10**6, stage="bridge") == config
    assert found(10**6, max_epochs=2).batch_size == 244  # of 2**20 tokens
    published = StageConfig(max_epochs=100, batch_size=3)
    assert configure(published, "rna", **WISH, n_tokens=16906, n_cells=10**6) == published
