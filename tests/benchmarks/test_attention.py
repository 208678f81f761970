"""Where one attention overtakes the other."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def attention(monkeypatch):
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("attention", BENCHMARKS / "attention.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "attention", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("favor", "expected"),
    [([1, 1, 1], 10), ([3, 1, 1], 20), ([1, 3, 1], 30), ([3, 3, 3], None), ([1, 1, 3], None)],
)
def test_crossover(attention, favor, expected):
    rows = [
        {"length": length, "softmax_forward_us": 2, "favor_forward_us": f}
        for length, f in zip((10, 20, 30), favor, strict=True)
    ]
    assert attention.crossover(rows, "forward") == expected


def test_a_row_has_both_attentions_in_both_modes(attention):
    row = attention.measure("small", 5000, "cpu", repeats=1)
    assert row["cells"] == 3
    for name in ("softmax", "favor"):
        assert all(row[f"{name}_{mode}_us"] > 0 for mode in ("forward", "training"))
