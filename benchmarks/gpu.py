"""Speed on a GPU: each training stage, embedding, translation, the RNA encoder, and the demo.

    python benchmarks/gpu.py [--seconds 400] [--parts stages encoder ...] [--tokens 16906 ...]
                             [--json benchmarks/results/gpu.json]

Everything is measured with warm-up, repeats and medians; numbers are compared with the CPU. The
most important parts come first. A part that would begin too late is written down as not measured,
an error as failed with its traceback; the file is written after every part. ``--device cpu
--quick`` runs all of it on tiny data, as a test. Packages for a machine without network:
``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import _gpu_stages as stages
import scvi
import torch
from _gpu_encoder import encoder_row
from _gpu_tables import lines
from _measure import machine, versions
from _report import write_report

import scmomer

TOKENS = (16906, 4290, 1000, 8000)
SIZES = ("paper", "base", "small")
QUICK_TOKENS = (48,)
# Encoders by importance: at the published size and length, and deep cells at the default size.
# What is passed to training.
SETTINGS: dict[str, dict[str, Any]] = {
    "": {},
    "256 cells": {"batch_size": 256},
    "float32": {"precision": "32-true"},
}
FIRST = (("paper", 16906, "bfloat16"), ("base", 4290, "bfloat16"), ("paper", 16906, "float32"))
OUT_OF_TIME = "not measured: out of time"


class OutOfTime(BaseException):
    """The budget is used up within a part; no library may take it for an error of its own."""


@dataclass
class Part:
    """Something to measure."""

    group: str
    name: str
    seconds: float
    """What it may take; it does not begin if less is left."""
    run: Callable[[], list[dict[str, Any]]]


def encoder_parts(setting: stages.Setting, sizes: list[str], tokens: list[int]) -> list[Part]:
    """Return the encoder's rows: published size and length, default size, then the others."""
    found = []
    for size in sizes:
        for n in tokens:
            for dtype in ("bfloat16", "float32"):
                for mode in ("forward", "training"):
                    row = partial(
                        encoder_row,
                        *(setting.device, size, n, mode, dtype),
                        quick=setting.quick,
                        repeats=5 if not setting.quick else 1,
                    )
                    rank = FIRST.index((size, n, dtype)) if (size, n, dtype) in FIRST else 9
                    estimate = 25.0 if mode == "forward" else 40.0
                    part = Part("encoder", f"encoder {size} {n} {mode} {dtype}", estimate, row)
                    found.append(((rank, dtype == "float32"), part))
    return [part for _, part in sorted(found, key=lambda item: item[0])]


def demo(setting: stages.Setting) -> list[dict[str, Any]]:
    """Run the demo in a process of its own."""
    if setting.quick:
        return [{"status": "not run: --quick"}]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).with_name("demo.py")), "--out", folder]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"The demo failed: {done.stderr[-1500:]}")
        report = json.loads((Path(folder) / "metrics.json").read_text())
    return [
        {
            "train_s": report["seconds"]["train"],
            "all_s": report["seconds"]["all"],
            "process_s": time.perf_counter() - started,
            **report["translation"]["scMomer"],
            **{f"embedding_{k}": v for k, v in report["embedding"]["scMomer"].items()},
        }
    ]


def make_parts(setting: stages.Setting, sizes: list[str], tokens: list[int]) -> list[Part]:
    """Return all parts, in the order of their importance."""
    stage = {
        (name, how): Part(
            "stages",
            f"stage {name}" + (f", {how}" if how else ""),
            20.0,
            partial(stages.train_stage, setting, name, **SETTINGS[how]),
        )
        for name in ("rna", "atac", "fusion", "bridge")
        for how in SETTINGS
    }
    encoder = encoder_parts(setting, sizes, tokens)
    return [
        Part("stages", "deep cells", 30.0, partial(stages.make_model, setting)),
        *(stage[name, ""] for name in ("rna", "atac", "fusion", "bridge")),
        Part("embedding", "embedding of RNA-only cells", 20.0, partial(stages.embed, setting)),
        *encoder[:2],
        Part("demo", "demo", 40.0, partial(demo, setting)),
        Part("embedding", "against the CPU", 15.0, partial(stages.against_cpu, setting)),
        Part("stages", "loader alone", 10.0, partial(stages.load, setting)),
        Part("embedding", "translation to ATAC", 15.0, partial(stages.translate, setting)),
        # Further training of a stage undoes those that follow, which embedding needs.
        stage["rna", "256 cells"],
        stage["fusion", "256 cells"],
        stage["atac", "256 cells"],
        stage["rna", "float32"],
        stage["fusion", "float32"],
        *encoder[2:],
        stage["atac", "float32"],
        stage["bridge", "float32"],
    ]


def _trace() -> str:
    """Return where the present error came from, without the folders of a machine."""
    found = traceback.format_exc()[-4000:]
    for folder in (Path(__file__).resolve().parents[1], *map(Path, sys.path)):
        if len(folder.parts) > 1:
            found = found.replace(f"{folder}/", "")
    return found


def run_part(part: Part, left: float) -> dict[str, Any]:
    """Measure a part within the time left; errors are written down."""
    record: dict[str, Any] = {"group": part.group, "part": part.name}
    if left < part.seconds:
        return record | {"status": OUT_OF_TIME, "rows": []}
    started = time.perf_counter()
    record |= {"status": "measured", "rows": []}
    previous = signal.signal(signal.SIGALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_REAL, left)
    try:
        record["rows"] = part.run()
    except OutOfTime:
        record["status"] = OUT_OF_TIME
    except torch.OutOfMemoryError:
        record |= {"status": "out of memory", "traceback": _trace()}
    except Exception:  # noqa: BLE001 - the next part goes on
        record |= {"status": "failed", "traceback": _trace()}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    return record | {"seconds": time.perf_counter() - started}


def _out_of_time(*_: Any) -> None:
    raise OutOfTime


def card(device: str) -> dict[str, Any]:
    """Describe the device and what drives it."""
    found: dict[str, Any] = {"device": machine(device), "python": platform.python_version()}
    found |= {"torch": torch.__version__, "cuda": torch.version.cuda}
    try:
        import triton

        found["triton"] = triton.__version__
    except ImportError:
        found["triton"] = "not installed"
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "capability": list(torch.cuda.get_device_capability()),
            "memory_mb": properties.total_memory / 2**20,
            "multiprocessors": properties.multi_processor_count,
            "nvidia_smi": _nvidia_smi(),
        }
    return found


def _nvidia_smi() -> str:
    command = [
        "nvidia-smi",
        "--query-gpu=name,driver_version,memory.total",
        "--format=csv,noheader",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"not there: {error}"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--seconds", type=float, default=400, help="budget")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=["stages", "embedding", "encoder", "demo"],
        help="default: all",
    )
    parser.add_argument("--only", help="parts whose name contains this; 'deep cells' is drawn too")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--tokens", type=int, nargs="+", help=f"default {TOKENS}")
    parser.add_argument("--quick", action="store_true", help="tiny data, to test the script")
    parser.add_argument("--json", type=Path, help="file of the results")
    args = parser.parse_args(argv)
    args.tokens = args.tokens or list(QUICK_TOKENS if args.quick else TOKENS)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("Expected a CUDA device, found none. Pass --device cpu --quick for a test.")
    return args


def wanted_parts(args: argparse.Namespace, setting: stages.Setting) -> list[Part]:
    """Return the parts that were asked for; what they need comes with them."""
    every = make_parts(setting, args.sizes, args.tokens)
    chosen = [
        p
        for p in every
        if (not args.parts or p.group in args.parts) and (not args.only or args.only in p.name)
    ]
    groups = {p.group for p in chosen}
    needed = {"deep cells"} if groups & {"stages", "embedding"} else set()
    if "embedding" in groups:
        needed |= {f"stage {name}" for name in ("rna", "atac", "fusion", "bridge")}
    return [p for p in every if p in chosen or p.name in needed]


def main() -> None:
    """Measure, print the tables and write JSON."""
    started = time.perf_counter()
    args = parse_args()
    scvi.settings.seed = 0
    setting = stages.Setting(args.device, args.quick)
    if args.quick:
        setting.stage_seconds, setting.repeats = 5.0, 1
    report: dict[str, Any] = {
        "command": f"python benchmarks/gpu.py --seconds {args.seconds:g}",
        "machine": card(args.device),
        "versions": versions("scvi-tools", "anndata", "numpy", "performer-pytorch"),
        "scmomer": scmomer.__version__,
        "parts": [],
    }
    print(json.dumps(report["machine"]), flush=True)
    for part in wanted_parts(args, setting):
        left = args.seconds - (time.perf_counter() - started)
        record = run_part(part, left)
        report["parts"].append(record)
        report["seconds"] = time.perf_counter() - started
        print(f"[{report['seconds']:5.0f} s] {part.name}: {record['status']}", flush=True)
        if "traceback" in record:
            print(record["traceback"][-1500:], flush=True)
        if args.json:
            write_report(args.json, report)
    print("\n".join(lines(report)))


if __name__ == "__main__":
    main()
