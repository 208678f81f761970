"""Parts of ``gpu.py`` that time the RNA encoder beside its opponents."""

from __future__ import annotations

import gc
import statistics
import time
import traceback
from typing import Any

import torch
from _encoder_pairs import Pair, cast_to, flops_per_token, relative_error, run_of
from _measure import matmul_gflops, peak_mb, seconds
from torch import Tensor

_AT_ONCE = 2**17  # tokens in a batch; at the published length 8 cells, as measured before
_MOST_FLOPS = 1.5e12  # of what is repeated on the CPU
_MOST_SECONDS = 12  # of repeats
_OPPONENTS = ("performer-pytorch", "compiled", "exact")
_OUT_OF_MEMORY = "out of memory"


def encoder_row(
    device: str, size: str, tokens: int, mode: str, dtype: str, *, quick: bool, repeats: int
) -> list[dict[str, Any]]:
    """Time one pass of the encoder and of all opponents, in alternation."""
    torch.compiler.reset()  # lengths that were compiled before would make this one dynamic
    _free(device)
    pair = Pair(size, tokens, device)
    n = 2 if quick else max(8, _AT_ONCE // tokens)
    bins = torch.randint(0, 6, (n, tokens), generator=torch.Generator().manual_seed(0)).to(device)
    row: dict[str, Any] = {
        "size": size,
        "tokens": tokens,
        "mode": mode,
        "dtype": dtype,
        "cells": n,
        "kernels": _kernels(pair, device, dtype),
    }
    runs = _runs(pair, bins, mode, dtype, quick)
    row |= {name: {"status": "-"} for name in _OPPONENTS}
    first: dict[str, list[Tensor]] = {}
    for name in list(runs):
        found = _first_call(runs[name], device, first, name)
        row[name] = found
        if "status" in found:
            del runs[name]
    row |= _errors(first, pair, bins, mode, dtype)
    first.clear()
    times, speeds = _alternate(runs, device, dtype, repeats)
    flops = flops_per_token(pair.config) * tokens * (1 if mode == "forward" else 3)
    row["matmul_gflops"] = statistics.median(speeds) if speeds else None
    for name in runs.keys() - times.keys():
        row[name]["status"] = _OUT_OF_MEMORY
    for name, each in times.items():
        rate = n / statistics.median(each)
        row[name] |= {"cells_per_s": rate, "each_s": each}
        if name != "exact":
            row[name]["share_of_peak"] = rate * flops / 1e9 / row["matmul_gflops"]
    ours = row["ours"].get("cells_per_s")
    for name in _OPPONENTS:
        theirs = row[name].get("cells_per_s")
        row[f"times_{name}"] = ours / theirs if ours and theirs else None
    return [row]


def _kernels(pair: Pair, device: str, dtype: str) -> str:
    """Return whether our blocks run in fused kernels, where there are some."""
    with cast_to(device, dtype):
        return "fused" if pair.ours.fuses else "plain"


def _runs(pair: Pair, bins: Tensor, mode: str, dtype: str, quick: bool) -> dict[str, Any]:
    backend = "eager" if quick else "inductor"
    compiled = torch.compile(pair.their_hidden, backend=backend)
    hidden = {
        "ours": (pair.ours, pair.our_hidden),
        "performer-pytorch": (pair.theirs, pair.their_hidden),
        "compiled": (pair.theirs, compiled),
        "exact": (pair.ours, pair.exact_hidden),
    }
    return {
        name: run_of(model, function, bins, pair.config.dim, mode, dtype)
        for name, (model, function) in hidden.items()
        if name != "exact" or dtype == "bfloat16"  # in float32 it has no fast kernels
    }


def _free(device: str) -> None:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


def _first_call(run: Any, device: str, first: dict[str, list[Tensor]], name: str) -> dict[str, Any]:
    """Return the time of the first, compiling call and the memory of the second."""
    try:
        took = seconds(lambda: first.update({name: run()}), device)
        kept = [part.detach().cpu() for part in first.pop(name)]
        first[name] = kept
        return {"first_call_s": took, "peak_mb": peak_mb(run, device)}
    except torch.OutOfMemoryError:
        first.pop(name, None)
        _free(device)
        return {"status": _OUT_OF_MEMORY}
    except Exception as error:  # noqa: BLE001 - an opponent that fails is a row, too
        first.pop(name, None)
        _free(device)
        return {"status": f"failed: {error!r}"[:300], "traceback": traceback.format_exc()[-2000:]}


def _errors(
    first: dict[str, list[Tensor]], pair: Pair, bins: Tensor, mode: str, dtype: str
) -> dict[str, float | None]:
    """Return differences of our results from performer-pytorch, and from ours on the CPU.

    The reference on the CPU is float32, output or gradients of the first cell.
    """
    found: dict[str, float | None] = {"error_to_theirs": None, "error_to_cpu": None}
    if "ours" in first and "performer-pytorch" in first:
        found["error_to_theirs"] = relative_error(first["ours"], first["performer-pytorch"])
    flops = flops_per_token(pair.config) * bins.shape[1] * (1 if mode == "forward" else 4)
    if "ours" in first and flops < _MOST_FLOPS:
        args = pair.config.dim, mode
        here = run_of(pair.ours, pair.our_hidden, bins[:1], *args, dtype)()
        here = [part.cpu() for part in here]
        pair.ours.cpu()
        reference = run_of(pair.ours, pair.our_hidden, bins[:1].cpu(), *args, "float32")()
        pair.ours.to(bins.device)
        found["error_to_cpu"] = relative_error(here, reference)
    return found


def _alternate(
    runs: dict[str, Any], device: str, dtype: str, repeats: int
) -> tuple[dict[str, list[float]], list[float]]:
    times: dict[str, list[float]] = {name: [] for name in runs}
    speeds: list[float] = []
    started = time.perf_counter()
    for i in range(repeats):
        if i > 1 and time.perf_counter() - started > _MOST_SECONDS:
            break
        for name in list(times):
            speeds.append(_matmul(device, dtype))
            try:
                times[name].append(seconds(runs[name], device))
            except torch.OutOfMemoryError:  # beside what others keep in memory
                times.pop(name)
                _free(device)
    return times, speeds


def _matmul(device: str, dtype: str) -> float:
    if device == "cpu":
        return matmul_gflops(device, torch.float32, 256)
    return matmul_gflops(device, getattr(torch, dtype))
