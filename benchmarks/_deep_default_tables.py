"""Table of ``deep_defaults.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
from _markdown import markdown, results

Runs = list[dict[str, Any]]
_ATAC = {
    "auroc_within_depth": "AUROC within depth",
    "pseudobulk_pearson": "centered Pearson",
}
_TYPES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "ami": "AMI"}
COLUMNS: dict[str, dict[str, dict[str, str]]] = {
    "rna": {"sorted blood": _TYPES, "pancreas": _TYPES},
    "translation": {
        "CITE-seq": {"pearson": "Pearson", "pearson_within_types": "within types"},
        "synthetic, deep": _ATAC,
    },
    "snareseq": {
        "SNARE-seq": _ATAC | _TYPES,
        "SNARE-seq, default encoders": _ATAC | _TYPES,
    },
}


def _number(values: list[float], form: str) -> str:
    """Return a mean, with its standard error if there are several values."""
    if not values:
        return "-"
    mean = f"{np.mean(values):{form}}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {np.std(values, ddof=1) / len(values) ** 0.5:.3f}"


def differences(runs: Runs, columns: dict[str, dict[str, str]]) -> list[list[str]]:
    """Return a header and rows: the default's scores, and what each change adds to them.

    Differences are means over the seeds that both have.
    """
    by = {(r["set"], r["row"], r["seed"]): r["scores"] for r in runs}
    kept = [(s, key) for s, keys in columns.items() for key in keys]
    names = list(dict.fromkeys(r["row"] for r in runs if r["set"] in columns))
    default = next(name for name in names if name.startswith("deep default"))
    table = [["change", *(f"{s}: {columns[s][key]}" for s, key in kept)]]
    for name in (default, *(n for n in names if n != default)):
        line = []
        for part, key in kept:
            seeds = [seed for s, row, seed in by if (s, row) == (part, name)]
            mine = {seed: by[part, name, seed][key] for seed in seeds}
            if name != default:
                mine = {
                    seed: value - by[part, default, seed][key]
                    for seed, value in mine.items()
                    if (part, default, seed) in by
                }
            line.append(_number([*mine.values()], ".3f" if name == default else "+.3f"))
        table.append([name, *line])
    return table


def defaults(part: str) -> str:
    """Return the scores of the default and the differences of all changes on some data sets."""
    header, *rows = differences(results("deep_defaults")["runs"], COLUMNS[part])
    return markdown(header, rows)
