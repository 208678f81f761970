"""Time, memory and the speed of the machine."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch


def machine(device: str) -> str:
    """Describe the machine."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    return f"{model}, {torch.get_num_threads()} threads, {platform.system()}"


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of packages."""
    return {"python": platform.python_version(), **{p: version(p) for p in packages}}


def seconds(run: Callable[[], object], device: str) -> float:
    """Return the wall time of one call."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _status(field: str) -> float:
    """Return a field of this process's memory status in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def peak_mb(run: Callable[[], object], device: str) -> float:
    """Return the peak memory that one call adds, in MB; NaN if it cannot be measured."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    if sys.platform != "linux" or not os.access("/proc/self/clear_refs", os.W_OK):
        run()
        return float("nan")
    ctypes.CDLL(None).malloc_trim(0)  # free heap of earlier calls would hide some
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def matmul_gflops(device: str, dtype: torch.dtype = torch.float32, n: int = 2048) -> float:
    """Return the speed of the machine on a large matrix product, the best of three."""
    n = n if device == "cpu" else 4 * n
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    best = min(seconds(lambda: torch.mm(a, b, out=out), device) for _ in range(3))
    return 2 * n**3 / best / 1e9


def read_arrays(path: Path) -> dict[str, Any]:
    """Read a file of :func:`write_arrays`."""
    with np.load(path) as kept:
        return {k: kept[k] if kept[k].ndim else kept[k].item() for k in kept.files}


def write_arrays(path: Path, found: dict[str, Any]) -> None:
    """Write arrays and numbers for a later run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **found)
