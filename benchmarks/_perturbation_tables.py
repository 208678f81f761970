"""Tables of ``perturbation.py``."""

from __future__ import annotations

import pandas as pd
from _markdown import markdown, results
from _perturbation_report import read_table

MODEL = "scmomer"
NAMES = {
    "no change": "no change",
    "mean": "training mean",
    "additive": "additive",
    "matching mean": "matching mean",
    "other groups": "control + mean change of others",
    "linear": "linear, measured genes",
    "linear, embedding": "linear, gene embeddings",
    "embedding ridge": "ridge on gene embeddings",
    "gene sets, kernel ridge": "kernel ridge on GO terms",
    "gene sets, 1 neighbor": "nearest gene by GO terms",
    "gene sets, 3 neighbors": "3 nearest genes by GO terms",
    "permuted targets": "kernel ridge, targets permuted",
    MODEL: "scMomer",
}
SCORES = {
    "pearson": "r",
    "pearson_top20": "r, top 20",
    "mse_top20": "MSE, top 20",
    "weighted_mse": "weighted MSE",
    "direction_top20": "direction, top 20",
    "centroid": "rank",
    "pearson_systema": "r about the training mean",
    "worst_pearson": "worst r",
}
LOWER = {"mse_top20", "weighted_mse"}
DIFFERENCE = "difference of r"
Column = tuple[str, str]
"""Stratum and score; the score may be `DIFFERENCE`."""
_FULL = (*("pearson", "pearson_top20", "mse_top20", "centroid"), DIFFERENCE)
TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {
    "papalexi": (
        "papalexi",
        (*(("strong 8", score) for score in _FULL), ("all", "pearson"), ("all", "centroid")),
    ),
    "replicates": ("papalexi, replicate out", tuple(("all", score) for score in _FULL)),
    "singles": ("norman, one single out", tuple(("all", score) for score in _FULL)),
    "one-double": ("norman, one double out", tuple(("all", score) for score in _FULL)),
    "doubles": (
        "norman, all doubles out",
        (
            *(("all", score) for score in _FULL),
            *((f"combo_seen{n}", "pearson") for n in (0, 1, 2)),
        ),
    ),
    "kang": (
        "kang, cell type out",
        tuple(
            ("all", score)
            for score in ("pearson", "pearson_top20", "mse_top20", "worst_pearson", DIFFERENCE)
        ),
    ),
}
STRATA = {
    "strong 8": "8 strong: ",
    "combo_seen0": "0 parts seen: ",
    "combo_seen1": "1 part seen: ",
    "combo_seen2": "2 parts seen: ",
}


def perturbation(name: str) -> str:
    """Return methods x scores of a part; the best of each is bold, the ceiling is the last row."""
    part, columns = TABLES[name]
    report = results("perturbation")
    means = _of(report, "summary", part).set_index(["stratum", "method"])
    gains = _of(report, "differences", part).set_index(["stratum", "against"])
    here = set(means.index.get_level_values("method"))
    methods = [m for m in NAMES if m in here]

    def label(column: Column) -> str:
        where = "all: " if name == "papalexi" and column[0] == "all" else ""
        text = "difference of r from scMomer" if column[1] == DIFFERENCE else SCORES[column[1]]
        return STRATA.get(column[0], where) + text

    def cell(method: str, column: Column) -> str:
        stratum, score = column
        if score == DIFFERENCE:
            if method == MODEL:
                return ""
            gain = gains.loc[(stratum, method)]
            return f"{-gain['pearson']:+.3f} ± {gain['pearson_se']:.3f}"
        values = means.loc[stratum][score]
        if pd.isna(values[method]):
            return "-"
        best = values.min() if score in LOWER else values.max()
        text = f"{values[method]:.3f}"
        return f"**{text}**" if text == f"{best:.3f}" else text

    def ceiling(column: Column) -> str:
        key = {"pearson": "ceiling", "pearson_top20": "ceiling_top20"}.get(column[1])
        return "" if key is None else f"{means.loc[column[0]][key].iloc[0]:.3f}"

    rows = [[NAMES[m], *(cell(m, c) for c in columns)] for m in methods]
    rows.append(["*ceiling*", *(ceiling(c) for c in columns)])
    return markdown([" ", *map(label, columns)], rows)


def _of(report: dict[str, object], table: str, part: str) -> pd.DataFrame:
    found = read_table(report, table)
    return found[found["part"] == part]
