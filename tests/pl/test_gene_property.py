"""``pl.gene_property``: one point for each features of each task."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from scmomer.pl import gene_property
from scmomer.tasks.genes import GeneProperty

FEATURES = ("embedding", "random", "PCA", "prefix")


@pytest.fixture
def result() -> GeneProperty:
    rows = [
        (task, features, "logistic", metric, value + 0.1 * i, 0.02, np.nan, np.nan, 20, 60, 4)
        for i, task in enumerate(("first", "second"))
        for features, value in zip(FEATURES, (0.8, 0.5, 0.6, 0.55), strict=True)
        for metric in ("auroc", "average_precision")
    ]
    columns = (
        "task features classifier metric mean se difference difference_se n_positive n_negative dim"
    )
    return GeneProperty(pd.DataFrame(rows, columns=columns.split()), pd.DataFrame())


def points(ax) -> dict[str, list[float]]:
    """Scores of each label, from top to bottom."""
    return {c.get_label(): c.lines[0].get_xdata().tolist() for c in ax.containers}


def test_points_are_scores_with_the_best_task_on_top(result):
    ax = gene_property(result, show=False)
    found = points(ax)
    assert found["embedding"] == pytest.approx([0.9, 0.8]) and found["PCA"] == pytest.approx(
        [0.7, 0.6]
    )
    assert list(found) == ["embedding", "PCA", "letters of the name", "random vectors"]
    ticks = [t.get_text() for t in ax.get_yticklabels()]
    assert (
        ticks == ["second\n(20 / 80)", "first\n(20 / 80)"] and ax.get_ylim()[0] > ax.get_ylim()[1]
    )
    assert points(gene_property(result, sort=False, show=False))["embedding"] == pytest.approx(
        [0.8, 0.9]
    )


def test_intervals_are_1_96_standard_errors(result):
    ax = gene_property(result, show=False)
    (segments,) = ax.containers[0].lines[2]
    left, right = np.asarray(segments.get_segments()[0])[:, 0]
    assert (left, right) == pytest.approx((0.9 - 1.96 * 0.02, 0.9 + 1.96 * 0.02))


def test_opponents_are_filled_and_controls_open(result):
    markers = {
        c.get_label(): c.lines[0].get_markerfacecolor()
        for c in gene_property(result, show=False).containers
    }
    assert markers["letters of the name"] == markers["random vectors"] == "white" != markers["PCA"]


def test_metrics_axes_and_files(result, tmp_path):
    import matplotlib.pyplot as plt

    ax = gene_property(result, metric="average_precision", show=False)
    assert ax.get_xlabel() == "average precision"
    _, mine = plt.subplots()
    assert gene_property(result, ax=mine, show=False) is mine
    assert isinstance(gene_property(result, show=False, return_fig=True), Figure)
    gene_property(result, save=tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 5000


def test_what_is_no_result_is_refused(result, refuses):
    with refuses(TypeError, "scmomer.tl.gene_property", "DataFrame"):
        gene_property(result.table)
    with refuses(ValueError, "metric", "'accuracy'", "'auroc'"):
        gene_property(result, metric="accuracy")
    with refuses(ValueError, "classifier", "'forest'"):
        gene_property(result, classifier="forest")
