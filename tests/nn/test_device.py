"""What cards can do and have left, as torch reports it."""

from __future__ import annotations

import importlib.util
import logging

import pytest
import torch

from scmomer.nn import (
    _device,
    free_memory,
    has_bfloat16,
    is_out_of_memory,
    release_memory,
    supports_triton,
)
from scmomer.nn._device import is_roomy

CPU, CARD, APPLE = torch.device("cpu"), torch.device("cuda:1"), torch.device("mps")
GB = 2**30


@pytest.fixture
def card(monkeypatch):
    """Pretends that there is a card of some compute capability."""

    def make(*capability: int, triton: bool = True) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Card")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: triton or None)
        _device._say.cache_clear()

    return make


@pytest.mark.parametrize(
    ("capability", "bfloat16", "triton"),
    [((6, 1), False, False), ((7, 5), False, False), ((8, 0), True, True), ((9, 0), True, True)],
)
def test_what_a_card_can_do(card, caplog, capability, bfloat16, triton):
    card(*capability)
    with caplog.at_level(logging.WARNING, logger="scmomer"):
        for _ in range(3):
            assert has_bfloat16(CARD) is bfloat16
            assert supports_triton(CARD) is triton
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == (not bfloat16) + (not triton)  # once each
    assert all(f"Card (compute capability {capability[0]}.{capability[1]})" in t for t in told)
    assert ["float32" in t for t in told] == [True, False][: len(told)]


def test_triton_may_be_absent(card, caplog):
    card(9, 0, triton=False)
    with caplog.at_level(logging.WARNING, logger="scmomer"):
        assert not supports_triton(CARD) and not supports_triton(CARD)
    (record,) = caplog.records
    assert "pip install triton" in record.getMessage()


def test_other_devices_have_neither_and_nothing_is_said(caplog):
    for device in (CPU, APPLE):
        assert not has_bfloat16(device) and not supports_triton(device)
    assert not caplog.records


def test_free_memory_of_a_card_includes_what_torch_keeps(monkeypatch):
    found = {
        "mem_get_info": (2 * GB, 8 * GB),
        "memory_reserved": 3 * GB,
        "memory_allocated": GB,
    }
    asked = []
    for name, value in found.items():
        monkeypatch.setattr(
            torch.cuda, name, lambda device, value=value: asked.append(device) or value
        )
    assert free_memory(CARD) == 4 * GB
    assert asked == [CARD] * 3
    assert free_memory(CPU) is None


@pytest.mark.parametrize(("used", "left"), [(GB, 5 * GB), (7 * GB, 0)])
def test_free_memory_of_apple_silicon(monkeypatch, used, left):
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 6 * GB)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: used)
    assert free_memory(APPLE) == left


def test_errors_of_full_memory():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"))
    assert not is_out_of_memory(RuntimeError("expected scalar type Float"))
    assert not is_out_of_memory(ValueError("mps backend out of memory"))


@pytest.mark.parametrize("device", [CPU, CARD, APPLE], ids=str)
def test_memory_is_released_where_it_is(monkeypatch, device):
    called = []
    for backend in ("cuda", "mps"):
        monkeypatch.setattr(
            getattr(torch, backend), "empty_cache", lambda name=backend: called.append(name)
        )
    release_memory(device)
    assert called == ([] if device == CPU else [device.type])


@pytest.mark.parametrize(
    ("capability", "roomy"),
    [((8, 0), False), ((8, 9), False), ((9, 0), True), ((10, 0), True), ((12, 0), False)],
)
def test_shared_memory(card, capability, roomy):
    card(*capability)
    assert is_roomy(torch.device("cuda")) is roomy
    assert is_roomy(torch.device("cpu"))  # the interpreter has no limit
