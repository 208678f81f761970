"""``pl.integration``: the report as a table in color."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.figure import Figure

from scmomer.pl import integration

COLUMNS = ("kmeans_ari", "clisi", "ilisi", "bras", "bio_conservation", "batch_correction", "total")


@pytest.fixture
def report() -> pd.DataFrame:
    values = np.array([[0.3, 0.9, 0.5, 0.6], [0.5, 0.95, 0.4, 0.8], [0.1, 0.8, 0.9, 0.7]])
    bio, batch = values[:, :2].mean(1), values[:, 2:].mean(1)
    means = np.stack([bio, batch, 0.6 * bio + 0.4 * batch], axis=1)
    index = pd.Index(["PCA", "X_scmomer", "SCVI"], name="embedding")
    return pd.DataFrame(np.hstack([values, means]), index=index, columns=list(COLUMNS))


def rows(ax) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


def numbers(ax) -> dict[tuple[float, float], str]:
    """Text at each place, by row and column."""
    return {(t.get_position()[1], t.get_position()[0]): t.get_text() for t in ax.texts}


def test_rows_are_sorted_by_the_total(report):
    ax = integration(report, show=False)
    assert rows(ax) == ["X_scmomer", "SCVI", "PCA"]
    assert rows(integration(report, sort=False, show=False)) == list(report.index)


def test_every_score_is_written_where_it_belongs(report):
    ax = integration(report, show=False)
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert labels[:2] == ["k-means ARI", "cLISI"] and labels[-1] == "total"
    places = dict(zip(labels, ax.get_xticks(), strict=True))
    found = numbers(ax)
    assert found[0, places["k-means ARI"]] == "0.50" and found[1, places["iLISI"]] == "0.90"
    assert found[2, places["total"]] == f"{report.loc['PCA', 'total']:.2f}"
    assert len(ax.patches) == report.size
    assert {"bio conservation", "batch correction"} <= {t.get_text() for t in ax.texts}


def test_the_best_of_a_column_is_bold_and_darkest(report):
    ax = integration(report, show=False)
    x = ax.get_xticks()[0]  # k-means ARI
    bold = [t.get_position()[1] for t in ax.texts if t.get_fontweight() == "bold"]
    of_column = {
        t.get_position()[1]: t.get_fontweight() for t in ax.texts if t.get_position()[0] == x
    }
    assert of_column == {0: "bold", 1: "normal", 2: "normal"} and len(bold) >= report.shape[1]
    shades = [p.get_facecolor()[:3] for p in ax.patches if abs(p.get_x() + 0.47 - x) < 1e-6]
    assert np.argmin([sum(shade) for shade in shades]) == 0


def test_data_hold_a_report_too(report):
    adata = AnnData(np.zeros((2, 2)))
    adata.uns["scmomer"] = {"integration_report": {"table": report}}
    assert rows(integration(adata, show=False)) == ["X_scmomer", "SCVI", "PCA"]


def test_one_embedding_and_missing_scores_can_be_shown(report):
    ax = integration(report.iloc[:1], show=False)
    assert rows(ax) == ["PCA"]
    report.loc["PCA", "ilisi"] = np.nan
    assert "-" in {t.get_text() for t in integration(report, show=False).texts}


def test_axes_figures_and_files(report, tmp_path):
    import matplotlib.pyplot as plt

    _, mine = plt.subplots()
    assert integration(report, ax=mine, show=False) is mine
    figure = integration(report, show=False, return_fig=True)
    assert isinstance(figure, Figure) and len(figure.axes) == 1
    integration(report, save=tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 5000


def test_what_is_not_a_report_is_refused(report, refuses):
    with refuses(KeyError, "integration_report", "scmomer.tl.integration_report"):
        integration(AnnData(np.zeros((2, 2))))
    with refuses(KeyError, "'total'", "integration_report"):
        integration(report.drop(columns="total"))
