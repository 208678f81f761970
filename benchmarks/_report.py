"""Results as readable JSON: rows of numbers, or whatever fits, on one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from _measure import machine, versions

_WIDTH = 160
_DIGITS = 7  # of single precision


def write_report(path: Path, report: Any) -> None:
    """Write a report; numbers are rounded to seven significant digits."""
    path.write_text(_text(_rounded(report), 0) + "\n")


def write_runs(path: Path, runs: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    """Write the runs so far with their summary, the command, the machine and versions."""
    report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine("cpu"),
        "versions": versions("scmomer", "scvi-tools", "torch", "scikit-learn"),
        "summary": summary,
        "runs": runs,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_report(path, report)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return float(f"{value:.{_DIGITS}g}")
    return value


def _is_row(value: dict[str, Any] | list[Any]) -> bool:
    """Return whether a value has no nested values."""
    parts = value.values() if isinstance(value, dict) else value
    return not any(isinstance(part, dict | list) for part in parts)


def _text(value: Any, indent: int) -> str:
    line = json.dumps(value)
    if not isinstance(value, dict | list) or indent + len(line) <= _WIDTH or _is_row(value):
        return line
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        parts = [f"{pad}{json.dumps(k)}: {_text(v, indent + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(parts) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(pad + _text(v, indent + 1) for v in value) + "\n" + " " * indent + "]"
