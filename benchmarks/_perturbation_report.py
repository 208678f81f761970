"""Scores of ``perturbation.py``: means over seeds, summaries, paired differences, small files.

The file of results has the scores of each perturbation as means over seeds, and which seeds are in
them: more seeds, methods and screens can be added later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

Rows = list[dict[str, Any]]
Report = dict[str, Any]
N_BOOTSTRAP = 2000
PAIRED = ("pearson", "pearson_top20", "mse_top20", "centroid")
PLACE = ("perturbation", "group", "split_group")
LABELS = ("part", "method", *PLACE, "n_seeds")


def averaged(rows: Rows) -> Rows:
    """Return rows averaged over seeds, weighted by their ``n_seeds``."""
    table = pd.DataFrame(rows)
    keys = [name for name in LABELS if name != "n_seeds"]
    scores = [name for name in table if name not in LABELS]
    weight = table["n_seeds"]
    weighted = table[keys].join(table[scores].mul(weight, axis=0)).assign(n_seeds=weight)
    # NaN (a rank among one) stays NaN.
    sums = weighted.groupby(keys, sort=False).sum(min_count=1)
    means = sums[scores].div(sums["n_seeds"], axis=0).assign(n_seeds=sums["n_seeds"])
    return means.reset_index().to_dict("records")


def summarize(
    rows: Rows,
    strata: Mapping[str, Mapping[str, Sequence[str]]],
    models: Sequence[str] = (),
) -> tuple[Rows, Rows]:
    """Return means over perturbations, and paired differences.

    Parameters
    ----------
    rows
        Scores of each perturbation, means over seeds.
    strata
        By part: named sets of perturbations.
    models
        Methods that are compared with all others.

    Returns
    -------
    tuple
        A row for each part, stratum and method: means; ``pearson_minus_mean``, the mean difference
        to the row "mean", with its standard error. And, for each model and other method (``against``), the
        mean difference of each score in `PAIRED` and its standard error.
    """
    # As they are written: a run that goes on has the same means.
    table = pd.DataFrame([{k: _score(k, v) for k, v in row.items()} for row in rows])
    scores = [name for name in table if name not in LABELS]
    table[scores] = table[scores].astype(float)
    means: Rows = []
    differences: Rows = []
    for part, of_part in table.groupby("part", sort=False):
        for stratum, members in _strata(of_part, strata.get(str(part), {})).items():
            inside = of_part[members]
            by = {str(m): t.set_index(list(PLACE)) for m, t in inside.groupby("method", sort=False)}
            head = {"part": part, "stratum": stratum}
            for method, mine in by.items():
                row = {**head, "method": method, "n": len(mine)}
                row |= {name: float(mine[name].mean()) for name in scores}
                row["worst_pearson"] = float(mine["pearson"].min())
                if "mean" in by:
                    found = paired(mine, by["mean"])
                    row["pearson_minus_mean"] = found["pearson"]
                    row["pearson_minus_mean_se"] = found["pearson_se"]
                means.append(row)
            differences += [
                {**head, "method": model, "against": other, **paired(by[model], by[other])}
                for model in models
                if model in by
                for other in by
                if other not in models
            ]
    return means, differences


def paired(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, float]:
    """Return mean differences of scores, and their standard errors (``_se``), by bootstrap.

    Perturbations are drawn, with all their groups; groups where there is one perturbation.
    """
    both = one.index.intersection(other.index)
    gain = one.loc[both, list(PAIRED)] - other.loc[both, list(PAIRED)]
    name = "perturbation" if both.get_level_values("perturbation").nunique() > 1 else "group"
    units = both.get_level_values(name).to_numpy()
    found: dict[str, float] = {}
    for score in PAIRED:
        found[score] = float(gain[score].mean())
        found[f"{score}_se"] = bootstrap_error(gain[score].to_numpy(), units)
    return found


def bootstrap_error(values: np.ndarray, units: Sequence[Any] | np.ndarray | None = None) -> float:
    """Return the standard error of a mean by bootstrap over units, each with all its values."""
    code = np.arange(len(values)) if units is None else pd.factorize(np.asarray(units))[0]
    size = np.bincount(code)
    total = np.bincount(code, values)
    drawn = np.random.default_rng(0).integers(0, len(size), (N_BOOTSTRAP, len(size)))
    return float((total[drawn].sum(axis=1) / size[drawn].sum(axis=1)).std())


def _strata(rows: pd.DataFrame, named: Mapping[str, Sequence[str]]) -> dict[str, pd.Series]:
    """Return which rows are in each stratum: all, named ones, and groups of the split."""
    found = {"all": pd.Series(True, rows.index)}
    found |= {name: rows["perturbation"].isin(list(members)) for name, members in named.items()}
    kinds = rows["split_group"].unique()
    if len(kinds) > 1:
        found |= {kind: rows["split_group"] == kind for kind in sorted(kinds)}
    return found


# -- files


def packed(report: Report) -> Report:
    """Return a report with lists in place of rows: three digits for each perturbation, four for means.

    ``"scores"``: by part and method, a list for each perturbation, in the order of ``"columns"``.
    """
    rows = report["rows"]
    columns = [n for n in dict.fromkeys(k for r in rows for k in r) if n not in LABELS[:2]]
    scores: dict[str, dict[str, list[Any]]] = {}
    for row in rows:
        of_part = scores.setdefault(row["part"], {})
        of_part.setdefault(row["method"], []).append([_score(n, row.get(n)) for n in columns])
    tables = {name: _table(report[name]) for name in ("summary", "differences")}
    rest = {k: v for k, v in report.items() if k != "rows"}
    return {**rest, **tables, "columns": columns, "scores": scores}


def unpacked(report: Report) -> Rows:
    """Return the rows of :func:`packed`."""
    columns = report["columns"]
    rows = [
        {"part": part, "method": method, **dict(zip(columns, values, strict=True))}
        for part, methods in report["scores"].items()
        for method, found in methods.items()
        for values in found
    ]
    table = pd.DataFrame(rows)
    scores = [name for name in table if name not in LABELS]
    return table.astype(dict.fromkeys(scores, float)).to_dict("records")


def read_table(report: Report, name: str) -> pd.DataFrame:
    """Return ``"summary"`` or ``"differences"`` of a packed report."""
    return pd.DataFrame(report[name]["rows"], columns=report[name]["columns"])


def _table(rows: Rows) -> dict[str, Any]:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return {"columns": columns, "rows": [[_short(r.get(n), 4) for n in columns] for r in rows]}


def _score(name: str, value: Any) -> Any:
    if isinstance(value, float) and value == value and "mse" not in name:
        return round(value, 3)
    return _short(value, 3)


def _short(value: Any, digits: int) -> Any:
    if not isinstance(value, float):
        return value
    return None if value != value else float(f"{value:.{digits}g}")
