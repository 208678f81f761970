"""``pl.drug_response_methods``: one row for each method, naive ones gray."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from scmomer.pl import drug_response_methods

SCORES = {"drug mean": 0.0, "ridge": 0.4, "scmomer": 0.5, "cells permuted": 0.1}


@pytest.fixture
def table() -> pd.DataFrame:
    """Six folds of four methods."""
    rng = np.random.default_rng(0)
    rows = [
        ("lco", 0, fold, name, score + rng.normal(0, 0.01), 2 - score, np.nan)
        for fold in range(6)
        for name, score in SCORES.items()
    ]
    columns = ["split", "seed", "fold", "method", "drug_pearson", "rmse", "coverage"]
    return pd.DataFrame(rows, columns=columns)


def names(ax) -> list[str]:
    return [t.get_text() for t in ax.get_yticklabels()]


def test_a_row_of_points_for_each_method_the_best_on_top(table):
    ax = drug_response_methods(table, show=False)
    assert names(ax) == ["scMomer", "ridge", "cells permuted", "drug mean"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    first = table.loc[table["method"] == "scmomer", "drug_pearson"]
    assert np.allclose(ax.collections[0].get_offsets()[:, 0], first)
    assert ax.texts[0].get_text() == f"{first.mean():.3f}"
    assert ax.get_title() == "split 'lco', 6 folds"


def test_smaller_errors_are_better(table):
    ax = drug_response_methods(table, metric="rmse", show=False)
    assert names(ax)[0] == "scMomer" and ax.get_xlabel() == "RMSE"


def test_naive_methods_are_gray_and_the_best_is_marked(table):
    ax = drug_response_methods(table, show=False)
    colors = {n: c.get_facecolor()[0][:3] for n, c in zip(names(ax), ax.collections, strict=True)}
    assert tuple(colors["ridge"]) == tuple(colors["drug mean"]) == to_rgba("0.45")[:3]
    assert len({tuple(c) for c in colors.values()}) == 3
    dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
    best = table.loc[table["method"] == "ridge", "drug_pearson"].mean()
    assert dotted[0].get_xdata()[0] == pytest.approx(best)


def test_few_folds_have_no_band(table):
    many = drug_response_methods(table, show=False).lines
    few = drug_response_methods(table[table["fold"] < 3], show=False).lines
    assert len(many) - len(few) == 4


def test_some_methods_axes_and_files(table, tmp_path):
    _, mine = plt.subplots()
    found = drug_response_methods(table, methods=["ridge", "scmomer"], ax=mine, show=False)
    assert found is mine and names(mine) == ["scMomer", "ridge"]
    assert isinstance(drug_response_methods(table, show=False, return_fig=True), Figure)
    drug_response_methods(table, save=tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 5000


def test_a_method_without_the_metric_is_left_out(table):
    table.loc[table["method"] == "scmomer", "coverage"] = 0.9
    assert names(drug_response_methods(table, metric="coverage", show=False)) == ["scMomer"]


def test_what_is_refused(table, refuses):
    with refuses(KeyError, "'accuracy'", "metric="):
        drug_response_methods(table, metric="accuracy")
    with refuses(ValueError, "'ridge'", "'other'"):
        drug_response_methods(table, methods=["other"])
    with refuses(ValueError, "'coverage'", "only NaN"):
        drug_response_methods(table, metric="coverage")
    with refuses(ValueError, "one split", "'lco', 'ldo'", "evaluation['split'] == 'lco'"):
        drug_response_methods(pd.concat([table, table.assign(split="ldo")]))
