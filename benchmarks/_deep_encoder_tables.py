"""Tables of ``deep_encoder.py``."""

from __future__ import annotations

from _markdown import markdown, results

TABLES = {
    "types": {
        "accuracy_5": "5 labels a type",
        "accuracy_20": "20",
        "accuracy_all": "all",
        "macro_f1_all": "all, macro-F1",
        "accuracy_20_thinned": "20, thinned cells",
        "accuracy_all_thinned": "all, thinned cells",
        "core_seconds": "core seconds of stage 1",
    },
    "hidden": {
        "cross_entropy": "cross-entropy, calibrated",
        "cross_entropy_as_is": "as it is",
        "spearman_within_cells": "rank correlation within cells",
        "spearman_within_genes": "within genes",
    },
}
_LESS_IS_BETTER = {"cross_entropy", "cross_entropy_as_is"}
_NOT_COMPARED = {"core_seconds", "cross_entropy_as_is"}


def deep_encoder(part: str, data: str) -> str:
    """Return methods x scores of a data set; the best scores are bold."""
    columns = TABLES[part]
    first = next(iter(columns))
    summary = results("deep_encoder")["summary"][data]
    methods = {name: scores for name, scores in summary.items() if first in scores}
    best = {}
    for key in columns.keys() - _NOT_COMPARED:
        pick = min if key in _LESS_IS_BETTER else max
        best[key] = pick(scores[key][0] for scores in methods.values())

    def cell(scores: dict[str, list[float]], key: str) -> str:
        if key not in scores:
            return "-"
        mean, error, n = scores[key]
        if key == "core_seconds":
            return f"{mean:,.1f}"
        text = f"{mean:.3f} ± {error:.3f}" if n > 1 else f"{mean:.3f}"
        return f"**{text}**" if mean == best.get(key) else text

    rows = (
        [name, str(scores[first][2]), *(cell(scores, key) for key in columns)]
        for name, scores in methods.items()
    )
    return markdown([" ", "seeds", *columns.values()], rows)
