"""The precision of training by device."""

from __future__ import annotations

import pytest
import torch

from scmomer.train import RunOptions, _device
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
