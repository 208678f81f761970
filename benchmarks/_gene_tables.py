"""Tables of ``genes.py`` and ``links.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from _markdown import markdown, results

TASKS = {
    "dosage-sensitive TFs": "dosage-sensitive TFs",
    "dosage-sensitive TFs, no zinc fingers": "without zinc fingers",
    "bivalent, not Lys4-only": "bivalent, not Lys4-only",
    "bivalent, not unmethylated": "bivalent, not unmethylated",
    "20 GO terms": "20 GO terms",
    "judged tasks": "mean of 22 tasks",
}
FEATURES = {
    "expression": "mean expression and detection",
    "gene_sets": "number of GO terms",
    "prefix": "letters of the name",
    "random": "random vectors",
    "degree": "number of training partners",
    "additive": "additive in the two genes",
    "gene_score": "partners in the test (an oracle)",
}


def scored(summary: dict[str, dict[str, Any]], names: dict[str, str]) -> list[list[str]]:
    """Return a header and rows, features x tasks."""
    rows = [[" ", *(names[task] for task in names if task in summary)]]
    kept = [task for task in names if task in summary]
    features = list(dict.fromkeys(f for task in kept for f in summary[task]))
    for feature in features:
        cells = []
        for task in kept:
            found = summary[task].get(feature)
            if found is None:
                cells.append("-")
                continue
            mean, error = found[:2]
            best = max(v[0] for f, v in summary[task].items() if f != "gene_score")
            text = f"{mean:.3f}" if error is None else f"{mean:.3f} ± {error:.3f}"
            cells.append(f"**{text}**" if mean == best else text)
        rows.append([FEATURES.get(feature, feature), *cells])
    return rows


def differences(summary: dict[str, dict[str, Any]], names: dict[str, str]) -> list[list[str]]:
    """Return a header and rows: what our contextual embedding is better by than each other row."""
    kept = [task for task in names if task in summary]
    rows = [["contextual embedding minus", *(names[task] for task in kept)]]
    for feature in dict.fromkeys(f for task in kept for f in summary[task]):
        found = [summary[task].get(feature) for task in kept]
        if all(one is None or one[2] is None for one in found):
            continue
        cells = ["-" if one is None else f"{one[2]:+.3f} ± {one[3]:.3f}" for one in found]
        rows.append([FEATURES.get(feature, feature), *cells])
    return rows


def variability_rows(summary: dict[str, list[float]]) -> list[list[str]]:
    """Return one row for each figure."""
    return [[name, f"{mean:.3f} ± {error:.3f}"] for name, (mean, error) in summary.items()]


def speed_rows(rows: list[dict[str, float]]) -> list[list[str]]:
    """Return time and memory by number of cells."""
    first = rows[0]
    return [
        [
            f"{row['cells']:,}",
            f"{row['seconds']:.0f}",
            f"{row['seconds'] / first['seconds'] * first['cells'] / row['cells']:.2f}",
            f"{row['peak_mb']:,.0f}",
        ]
        for row in rows
    ]


def nested(table: pd.DataFrame) -> dict[str, dict[str, list[float | None]]]:
    """Return rows as lists ``[mean, se, difference, difference_se]`` by task and features."""
    found: dict[str, dict[str, list[float | None]]] = {}
    for (task, features), row in table.iterrows():
        values = [None if np.isnan(v) else float(v) for v in row]
        found.setdefault(task, {})[features] = values
    return found


def links(part: str) -> str:
    """Return the AUROC of links of peaks and genes, means over seeds and their deviation."""

    def cell(mean: float, deviation: float | None) -> str:
        return f"{mean:.3f}" + (f" ± {deviation:.3f}" if deviation else "")

    found = results("links")["summary"][part]
    rows = {name: s if isinstance(s, dict) else {"AUROC": s} for name, s in found.items()}
    columns = next(iter(rows.values()))
    return markdown(
        [" ", *columns], ([name, *(cell(*s) for s in row.values())] for name, row in rows.items())
    )


def genes(part: str) -> str:
    """Return a table of ``genes.py``."""
    parts = results("genes")["parts"]
    if part in ("plain", "controlled"):
        header, *rows = scored(parts["property"]["summary"][part], TASKS)
    elif part == "difference":
        header, *rows = differences(parts["property"]["summary"]["controlled"], TASKS)
    elif part in ("pairs", "chromatin"):
        summary = parts[part]["summary"]
        header, *rows = scored(summary, {name: name for name in summary})
    elif part == "speed":
        header = ["cells", "seconds", "seconds a cell, relative", "MB added at the peak"]
        rows = speed_rows(parts[part]["rows"])
    else:
        header, rows = [" ", "mean"], variability_rows(parts[part]["summary"])
    return markdown(header, rows)
