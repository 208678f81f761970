"""Kernels compile for cards of each kind, and fit on their chips, without a card."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
SHARED = {80: 163, 89: 99, 90: 227}  # kB that a program may have: A100, RTX 4090, H100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "sizes"),
    [
        (90, (128, 8, 16, 512, "bf16")),
        (90, (128, 8, 16, 512, "fp32")),
        (90, (200, 10, 64, 800, "bf16")),
        (89, (128, 8, 16, 512, "bf16")),
        (89, (64, 4, 16, 128, "fp32")),
        (80, (128, 8, 16, 512, "bf16")),
    ],
)
def test_all_kernels(capability, sizes):
    script = Path(__file__).with_name("_compile.py")
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(script), str(capability), *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert not done.returncode, done.stderr[-2000:]
    shared = json.loads(done.stdout.splitlines()[-1])
    assert len(shared) == 10
    assert max(shared.values()) <= SHARED[capability] * 1024, shared
