"""Fixtures of fused kernels, which Triton's interpreter runs on the CPU."""

from __future__ import annotations

import pytest
import torch

triton = pytest.importorskip("triton")
tl = triton.language


@triton.jit
def _count_kernel(out_ptr, n):
    for i in range(n):
        tl.store(out_ptr + i, i)


@pytest.fixture
def interpreted(monkeypatch):
    """Lets fused kernels run on the CPU, in float32 or float16: the interpreter lacks bfloat16."""
    found = torch.zeros(3, dtype=torch.int32)
    try:
        _count_kernel[(1,)](found, 3)
    except Exception as error:  # noqa: BLE001
        # Older interpreters cannot loop up to a number that is no constant, with newer numpy.
        pytest.skip(f"triton {triton.__version__} interprets no such loops here: {error}")
    assert found.tolist() == [0, 1, 2]
    monkeypatch.setattr("scmomer.nn.favor._choice._interpreted", True)
