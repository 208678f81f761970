"""The RNA encoder against performer-pytorch: same weights, same inputs, in alternation.

    python benchmarks/encoder.py [--tokens 16906 ...] [--repeats 3] [--device cpu|cuda]
                                 [--json PATH]

For each size and number of tokens, forward (inference) and training (forward and backward):
cells per second, peak memory that a call adds, share of the machine's speed on a large matrix
product measured between the repeats, and the difference of the results. On a GPU also in bfloat16,
and against ``torch.compile`` of performer-pytorch.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from _encoder_pairs import Pair, flops_per_token, relative_error, run_of
from _measure import machine, matmul_gflops, peak_mb, seconds, versions
from _report import write_report
from torch import Tensor

TOKENS = (1000, 2000, 4000, 8000, 16906)


def rows(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure row by row."""
    dtypes = ["float32", "bfloat16"] if args.device == "cuda" else ["float32"]
    for size in args.sizes:
        for tokens in args.tokens:
            pair = Pair(size, tokens, args.device)
            flops = flops_per_token(pair.config) * tokens
            bins = torch.randint(0, 6, (args.batch, tokens), device=args.device)
            for mode in args.modes:
                for dtype in dtypes:
                    yield _row(pair, bins, mode, dtype, args, flops) | {"size": size}
            del pair


def _row(
    pair: Pair, bins: Tensor, mode: str, dtype: str, args: argparse.Namespace, flops: float
) -> dict[str, Any]:
    device, n = args.device, len(bins)
    runs = {
        "ours": run_of(pair.ours, pair.our_hidden, bins, pair.config.dim, mode, dtype),
        "theirs": run_of(pair.theirs, pair.their_hidden, bins, pair.config.dim, mode, dtype),
    }
    if device == "cuda":
        compiled = torch.compile(pair.their_hidden)
        runs["compiled"] = run_of(pair.theirs, compiled, bins, pair.config.dim, mode, dtype)
    # The first calls are a warm-up; they are used for memory and for the comparison of results.
    first: dict[str, list[Tensor]] = {}
    peak = {
        name: peak_mb(lambda name=name, run=run: first.update({name: run()}), device)
        for name, run in runs.items()
    }
    error = relative_error(first["ours"], first["theirs"])
    first.clear()
    times: dict[str, list[float]] = {name: [] for name in runs}
    speeds: list[float] = []
    for _ in range(args.repeats):
        for name, run in runs.items():
            speeds.append(matmul_gflops(device, getattr(torch, dtype)))
            times[name].append(seconds(run, device))
    rate = {name: n / statistics.median(found) for name, found in times.items()}
    speed = statistics.median(speeds)
    work = flops * (1 if mode == "forward" else 3)
    row = {
        "tokens": bins.shape[1],
        "mode": mode,
        "dtype": dtype,
        "ours_cells_per_s": rate["ours"],
        "theirs_cells_per_s": rate["theirs"],
        "ratio": rate["ours"] / rate["theirs"],
        "ours_peak_mb": peak["ours"],
        "theirs_peak_mb": peak["theirs"],
        "share_of_peak": rate["ours"] * work / 1e9 / speed,
        "theirs_share_of_peak": rate["theirs"] * work / 1e9 / speed,
        "matmul_gflops": speed,
        "relative_error": error,
        "ours_seconds": times["ours"],
        "theirs_seconds": times["theirs"],
        "cells": n,
    }
    if "compiled" in rate:
        row["compiled_cells_per_s"] = rate["compiled"]
        row["compiled_ratio"] = rate["ours"] / rate["compiled"]
        row["compiled_peak_mb"] = peak["compiled"]
    return row


def main() -> None:
    """Print the table and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=list(TOKENS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--sizes", nargs="+", default=["paper", "small"])
    parser.add_argument("--modes", nargs="+", default=["forward", "training"])
    parser.add_argument("--batch", type=int, help="batch size; default 1, on a GPU 8")
    parser.add_argument("--json", type=Path, help="file of the results")
    args = parser.parse_args()
    args.batch = args.batch or (1 if args.device == "cpu" else 8)
    print(
        f"{'size':6s}{'tokens':>7s} {'mode':9s}{'type':9s}{'ours/s':>9s}{'theirs/s':>9s}"
        f"{'ratio':>7s}{'share':>7s}{'theirs':>7s}{'ours MB':>9s}{'theirs MB':>10s}{'error':>9s}",
        flush=True,
    )
    found = []
    for r in rows(args):
        found.append(r)
        print(
            f"{r['size']:6s}{r['tokens']:7d} {r['mode']:9s}{r['dtype']:9s}"
            f"{r['ours_cells_per_s']:9.3g}{r['theirs_cells_per_s']:9.3g}{r['ratio']:7.2f}"
            f"{r['share_of_peak']:7.2f}{r['theirs_share_of_peak']:7.2f}{r['ours_peak_mb']:9.0f}"
            f"{r['theirs_peak_mb']:10.0f}{r['relative_error']:9.1e}"
            + (f"  compiled {r['compiled_ratio']:.2f}" if "compiled_ratio" in r else ""),
            flush=True,
        )
    result = {
        "machine": machine(args.device),
        "versions": versions("scmomer", "torch", "performer-pytorch"),
        "matmul_peak_gflops": statistics.median(r["matmul_gflops"] for r in found),
        "rows": found,
    }
    if args.json:
        write_report(args.json, result)


if __name__ == "__main__":
    main()
