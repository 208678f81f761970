"""Speed of exact softmax attention and FAVOR+, the basis of ``attention="auto"``.

    python benchmarks/attention.py [--device cpu|cuda] [--json PATH]

Times whole encoder blocks (attention and feed-forward layer) of the default sizes on batches of
equally long cells with the same total number of tokens, forward and backward, in alternation.
Prints microseconds per token and the length from which FAVOR+ is faster.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
from _measure import machine, seconds, versions
from _report import write_report

from scmomer.module import get_config
from scmomer.module.modalities.rna._performer import _Block

LENGTHS = (50, 100, 200, 400, 700, 1000, 1500, 2000, 4000)
TOKENS = {"cpu": 2**14, "cuda": 2**18}  # in a batch


def measure(size: str, length: int, device: str, repeats: int) -> dict[str, Any]:
    """Return microseconds per token of both attentions, forward and training."""
    n = max(1, TOKENS[device] // length)
    blocks = {}
    for name in ("softmax", "favor"):
        torch.manual_seed(0)
        blocks[name] = _Block(get_config(size, rna_attention=name).modalities["rna"]).to(device)
    dim = get_config(size).modalities["rna"].dim
    x = torch.randn(n, length, dim, device=device)
    valid = torch.ones(n, length, dtype=torch.bool, device=device)

    def forward(block: _Block) -> None:
        with torch.no_grad():
            block(x.clone(), valid, padded=True)

    def training(block: _Block) -> None:
        block(x.clone().requires_grad_(), valid, padded=True).sum().backward()

    row: dict[str, Any] = {"size": size, "length": length, "cells": n}
    for mode, run in (("forward", forward), ("training", training)):
        times: dict[str, list[float]] = {name: [] for name in blocks}
        for _ in range(repeats + 1):  # the first is a warm-up
            for name, block in blocks.items():
                times[name].append(seconds(lambda run=run, block=block: run(block), device))
        for name, found in times.items():
            row[f"{name}_{mode}_us"] = statistics.median(found[1:]) / (n * length) * 1e6
    return row


def crossover(rows: list[dict[str, Any]], mode: str) -> int | None:
    """Return the length from which FAVOR+ is always faster."""
    wins = [row[f"favor_{mode}_us"] < row[f"softmax_{mode}_us"] for row in rows]
    last_loss = max((i for i, win in enumerate(wins) if not win), default=-1)
    return rows[last_loss + 1]["length"] if last_loss + 1 < len(rows) else None


def main() -> None:
    """Print the table and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--sizes", nargs="+", default=["small", "base"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file of the results")
    args = parser.parse_args()
    result: dict[str, Any] = {
        "machine": machine(args.device),
        "versions": versions("scmomer", "torch"),
        "rows": [],
        "favor_from": {},
    }
    print("size   tokens   forward: softmax    favor   training: softmax    favor   (us/token)")
    for size in args.sizes:
        rows = []
        for length in LENGTHS:
            row = measure(size, length, args.device, args.repeats)
            rows.append(row)
            print(
                f"{size:6s}{length:7d}{row['softmax_forward_us']:19.2f}"
                f"{row['favor_forward_us']:9.2f}{row['softmax_training_us']:20.2f}"
                f"{row['favor_training_us']:9.2f}",
                flush=True,
            )
        result["rows"] += rows
        result["favor_from"][size] = {m: crossover(rows, m) for m in ("forward", "training")}
        print(f"{size}: FAVOR+ is faster from {result['favor_from'][size]}")
    if args.json:
        write_report(args.json, result)


if __name__ == "__main__":
    main()
