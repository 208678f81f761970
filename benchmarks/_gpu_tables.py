"""Tables of ``gpu.py``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from _markdown import ROOT, markdown, results

NOT_MEASURED = "not measured"
_ENCODERS = ("ours", "performer-pytorch", "compiled", "exact")


def _number(value: float | None, digits: str = ",.0f") -> str:
    return "" if value is None else f"{value:{digits}}"


def _rate(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rows(report: dict[str, Any], beginning: str) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield status and rows of parts; those that were not measured have an empty row."""
    for part in report["parts"]:
        if part["part"].startswith(beginning):
            yield from ((part["status"], row) for row in part["rows"] or [{"name": part["part"]}])


def cells_table(report: dict[str, Any]) -> list[list[str]]:
    """Return speed of stages, embedding, translation and loader."""
    found = []
    for status, r in _rows(report, "stage "):
        kind = "default: " if r.get("settings") == "default" else ""
        name = f"stage {r['stage']}, {kind}{r['precision']}" if "stage" in r else r["name"]
        step = _number(r.get("cells_per_step"))
        found.append([name, *_speed(status, r), step, _number(r.get("first_step_s"), ".1f")])
    for status, r in _rows(report, "embedding"):
        found.append([f"embedding, {r.get('dtype', '')}", *_speed(status, r), "", ""])
    for status, r in _rows(report, "translation"):
        found.append(["translation to ATAC", *_speed(status, r), "", ""])
    for status, r in _rows(report, "loader"):
        step = _number(r.get("cells_per_step"))
        found.append([f"loader alone, {r.get('stage', '')}", *_speed(status, r), step, ""])
    return found


def _speed(status: str, row: dict[str, Any]) -> list[str]:
    if "cells_per_s" not in row:
        return [status, "", ""]
    return [
        _rate(row["cells_per_s"]),
        _number(row.get("busy"), ".0%"),
        _number(row.get("peak_mb")),
    ]


def encoder_table(report: dict[str, Any]) -> list[list[str]]:
    """Return cells per second of the encoder and its opponents."""
    found, rest = [], Counter[str]()
    for status, r in _rows(report, "encoder"):
        if "size" not in r:
            rest[status] += 1
            continue
        label = f"{r['size']} {r['tokens']:,} {r['mode']} {r['dtype']}"
        rates = [_rate(r[n].get("cells_per_s")) or r[n].get("status", "") for n in _ENCODERS]
        ratios = [_number(r[f"times_{n}"], ".2f") for n in _ENCODERS[1:]]
        share = _number(r["ours"].get("share_of_peak"), ".0%")
        peaks = [_number(r[n].get("peak_mb")) for n in ("ours", "compiled")]
        found.append([label, *rates, *ratios, share, *peaks])
    return found + [[f"{n} further rows", status, *[""] * 9] for status, n in rest.items()]


def first_calls_table(report: dict[str, Any]) -> list[list[str]]:
    """Return seconds of the first, compiling calls."""
    return [
        [
            f"{r['size']} {r['tokens']:,} {r['mode']} {r['dtype']}",
            *(_number(r[n].get("first_call_s"), ".2f") for n in _ENCODERS),
        ]
        for _, r in _rows(report, "encoder")
        if "size" in r
    ]


def numbers_table(report: dict[str, Any]) -> list[list[str]]:
    """Return differences from the CPU, and of bfloat16."""
    found = [
        [r["what"], f"{r['largest_difference']:.1e}", f"{r['largest_value']:.2g}"]
        for _, r in _rows(report, "against")
        if "what" in r
    ]
    found += [
        [
            f"embedding, {r['dtype']} against float32",
            f"{r['largest_difference']:.1e}",
            f"{r['largest_value']:.2g}",
        ]
        for _, r in _rows(report, "embedding")
        if r.get("dtype") == "bfloat16"
    ]
    for _, r in _rows(report, "encoder"):
        if r.get("error_to_cpu") is not None:
            label = f"encoder {r['size']} {r['tokens']:,} {r['mode']} {r['dtype']}, relative"
            found.append([label, f"{r['error_to_cpu']:.1e}", ""])
    return found


def demo_table(report: dict[str, Any]) -> list[list[str]]:
    """Return seconds and scores of the demo."""
    keys = ("auroc_within_depth", "auroc", "pseudobulk_pearson", "embedding_ari", "embedding_ami")
    return [
        [_number(r["train_s"], ".1f"), _number(r["all_s"], ".1f"), *(f"{r[k]:.3f}" for k in keys)]
        if "train_s" in r
        else [r.get("status", status), *[""] * 6]
        for status, r in _rows(report, "demo")
    ]


def machine_table(report: dict[str, Any]) -> list[list[str]]:
    """Return the card and its software."""
    found = report["machine"]
    return [
        [
            found.get("nvidia_smi") or found["device"],
            *(str(found[key]) for key in ("torch", "cuda", "triton", "python")),
            _number(report["seconds"]),
        ]
    ]


_TABLES = {
    "machine": (
        machine_table,
        ["card, driver, memory", "torch", "CUDA", "Triton", "Python", "seconds in all"],
    ),
    "cells": (
        cells_table,
        ["deep cells", "cells/s", "card busy", "peak MB", "cells per step", "first step (s)"],
    ),
    "encoder": (
        encoder_table,
        [
            "size, tokens, pass, type",
            *("ours (cells/s)", "performer-pytorch", "compiled", "exact attention"),
            *("ours / performer-pytorch", "/ compiled", "/ exact"),
            *("share of peak", "ours (MB)", "compiled (MB)"),
        ],
    ),
    "first-calls": (
        first_calls_table,
        ["first call (s)", "ours", "performer-pytorch", "compiled", "exact attention"],
    ),
    "numbers": (numbers_table, ["numbers", "largest difference", "largest value"]),
    "demo": (
        demo_table,
        [
            *("training (s)", "all (s)", "AUROC within deciles", "AUROC", "Pearson"),
            *("embedding ARI", "AMI"),
        ],
    ),
}
TABLES = tuple(_TABLES)


def lines(report: dict[str, Any]) -> list[str]:
    """Return all tables as text."""
    found = []
    for rows, header in _TABLES.values():
        table = [header, *rows(report)]
        widths = [max(len(row[i]) for row in table) for i in range(len(header))]
        found.append("")
        for row in table:
            first, *rest = (cell.ljust(w) for cell, w in zip(row, widths, strict=True))
            found.append("  ".join([first, *rest]).rstrip())
    return found


def gpu(part: str) -> str:
    """Return a table of the documentation; without results every row is not measured."""
    rows, header = _TABLES[part]
    if not (ROOT / "benchmarks" / "results" / "gpu.json").exists():
        return markdown(header, [[NOT_MEASURED, *[""] * (len(header) - 1)]])
    return markdown(header, rows(results("gpu")))
