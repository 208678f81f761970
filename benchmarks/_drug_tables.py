"""Tables of ``drugs.py`` and ``drug_synergy.py``."""

from __future__ import annotations

from typing import Any

from _markdown import markdown, results

NAMES = {
    "mean": "mean of all",
    "line mean": "mean of the line",
    "drug mean": "mean of the drug",
    "mean effects": "drug + line",
    "soft-impute": "soft-impute, no features",
    "ridge, cell effect": "ridge on expression, line effect alone",
    "ridge": "ridge on expression",
    "other drugs": "mean of the line's other drugs",
    "similar drugs": "weighted by Tanimoto similarity",
    "scmomer": "scMomer",
    "scmomer, no network": "scMomer, without networks",
    "cells permuted": "scMomer, profiles permuted",
    "drugs permuted": "scMomer, molecules permuted",
    "published network": "published network",
    "expression": "expression",
    "both": "expression and embedding",
    "embedding": "embedding",
}
SCORES = {
    "drug_pearson": "r within drugs",
    "drug_pearson_median": "median",
    "drug_spearman": "Spearman within drugs",
    "rmse": "RMSE",
    "normalized_pearson": "r without drug means",
    "pearson": "r over all pairs",
    "coverage": "coverage of 90 % intervals",
    "drug_auroc": "AUROC within drugs",
    "drug_average_precision": "average precision within drugs",
    "auroc": "AUROC over all pairs",
    "average_precision": "average precision over all pairs",
}
ROWS = {
    "pairs": ("drug mean", "mean effects", "soft-impute", "published network", "scmomer"),
    "lines": (
        *("drug mean", "ridge, cell effect", "ridge", "scmomer, no network", "scmomer"),
        "cells permuted",
    ),
    "classes": ("drug mean", "ridge, cell effect", "ridge", "scmomer"),
    "drugs": (
        *("drug mean", "other drugs", "similar drugs", "scmomer, no network", "scmomer"),
        "drugs permuted",
    ),
    "embedding": ("expression", "both", "embedding"),
}
COLUMNS = {
    "pairs": ("drug_pearson", "rmse", "normalized_pearson", "pearson", "coverage"),
    "lines": (
        *("drug_pearson", "drug_pearson_median", "drug_spearman", "rmse"),
        *("normalized_pearson", "pearson", "coverage"),
    ),
    "classes": ("drug_auroc", "drug_average_precision", "auroc", "average_precision"),
    "drugs": (
        "drug_pearson",
        "drug_pearson_median",
        "drug_spearman",
        "rmse",
        "pearson",
        "coverage",
    ),
    "embedding": ("drug_pearson", "rmse"),
}
LOWER = {"rmse"}


def drugs(part: str) -> str:
    """Return a table of methods x scores; the best scores are bold."""
    where = {"classes": "lines"}.get(part, part)
    found: dict[str, Any] = results("drugs")[where]
    found = found.get("summary", found)
    rows = [row for row in ROWS[part] if row in found]
    columns = [c for c in COLUMNS[part] if any(c in found[row] for row in rows)]
    best = {
        c: (min if c in LOWER else max)(found[row][c][0] for row in rows if c in found[row])
        for c in columns
        if c != "coverage"
    }

    def cell(row: str, column: str) -> str:
        if column not in found[row]:
            return "-"
        mean, error = found[row][column]
        text = f"{mean:.3f}" + ("" if error != error else f" ± {error:.3f}")
        return f"**{text}**" if mean == best.get(column) else text

    names = SCORES | ({"rmse": "RMSE, mean of drugs"} if part == "embedding" else {})
    return markdown(
        [" ", *(names[c] for c in columns)],
        ([NAMES[row], *(cell(row, c) for c in columns)] for row in rows),
    )


SYNERGY_NAMES = {
    "mean": "mean of all",
    "additive": "line + drug + drug",
    "pairs": "with drug x drug",
    "interactions": "with drug x line",
    "scmomer": "scMomer",
    "networks": "scMomer, networks alone",
    "permuted cells": "scMomer, profiles permuted",
    "permuted drugs": "scMomer, structures permuted",
    "names": "scMomer, names of drugs alone",
    "graph": "scMomer, graphs for fingerprints",
}
SYNERGY_SPLITS = {
    "given": "published folds (new pairs)",
    "drugs": "held-out drugs",
    "lines": "held-out lines",
}


def synergy() -> str:
    """Return methods x splits, with r and AUROC; the best of each are bold."""
    found = results("drug_synergy")["summary"]
    splits = [split for split in SYNERGY_SPLITS if split in found]
    rows = [m for m in SYNERGY_NAMES if any(m in found[split] for split in splits)]
    columns = [(split, key) for split in splits for key in ("pearson", "auroc")]
    best = {(s, k): max(v[k] for v in found[s].values() if v[k] is not None) for s, k in columns}

    def cell(method: str, split: str, key: str) -> str:
        value = found[split].get(method, {}).get(key)
        if value is None:
            return "-"
        return f"**{value:.3f}**" if value == best[split, key] else f"{value:.3f}"

    labels = {"pearson": "r", "auroc": "AUROC"}
    return markdown(
        [" ", *(f"{SYNERGY_SPLITS[s]}: {labels[k]}" for s, k in columns)],
        ([SYNERGY_NAMES[m], *(cell(m, s, k) for s, k in columns)] for m in rows),
    )
