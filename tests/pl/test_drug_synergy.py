"""Picture of synergy: what it draws is what the metrics say."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scmomer
from scmomer.metrics import drug_synergy


@pytest.fixture
def predictions() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    observed = rng.normal(10, 20, 300)
    parts = []
    for method, noise in (("additive", 40), ("interactions", 20), ("scmomer", 10)):
        predicted = observed + rng.normal(0, noise, 300)
        p = 1 / (1 + np.exp(-(predicted - 30) / 10)) if method == "scmomer" else np.nan
        parts.append(
            pd.DataFrame(
                {"method": method, "observed": observed, "predicted": predicted, "probability": p}
            )
        )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_panels_say_what_metrics_say(predictions):
    axes = scmomer.pl.drug_synergy(predictions, show=False)
    ours = predictions[predictions["method"] == "scmomer"]
    scores = drug_synergy(ours["observed"], ours["predicted"])
    assert axes[0].get_title() == (
        f"scMomer: r = {scores['pearson']:.2f}, RMSE {scores['rmse']:.1f}"
    )
    names = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert names[0] == f"scMomer {scores['auroc']:.3f}" and len(names) == 3
    names = [text.get_text() for text in axes[2].get_legend().get_texts()]
    assert names[0] == f"scMomer {scores['average_precision']:.3f}"
    base_rate = axes[2].lines[-1].get_ydata()[0]
    assert base_rate == pytest.approx(scores["base_rate"])
    counts = axes[0].collections[0].get_array()
    assert 290 <= counts.sum() <= 300


def test_chosen_methods_and_given_axes(predictions):
    figure, given = plt.subplots(1, 3)
    axes = scmomer.pl.drug_synergy(predictions, methods=["additive", "scmomer"], ax=given)
    assert list(axes) == list(given)
    assert axes[0].get_title().startswith("drugs + lines")
    assert len(axes[1].get_legend().get_texts()) == 2
    assert figure.axes == list(given)


def test_table_without_methods(predictions, tmp_path):
    ours = predictions.loc[predictions["method"] == "scmomer", ["observed", "predicted"]]
    scmomer.pl.drug_synergy(ours, save=tmp_path / "synergy.png")
    assert (tmp_path / "synergy.png").stat().st_size > 1000


def test_what_cannot_be_drawn(predictions, refuses):
    with refuses(KeyError, "Expected columns", "['predicted']", "predictions=True"):
        scmomer.pl.drug_synergy(predictions.drop(columns="predicted"))
    with refuses(ValueError, "methods among ['additive'", "['best']"):
        scmomer.pl.drug_synergy(predictions, methods=["best"])
    with refuses(ValueError, "above and below 1000", "0 of 300", "threshold="):
        scmomer.pl.drug_synergy(predictions, threshold=1000.0)
    with refuses(TypeError, "predictions as a DataFrame", "AnnData", "predictions=True"):
        scmomer.pl.drug_synergy(AnnData(np.ones((2, 2))))
    with refuses(ValueError, "rows with an observed synergy", "found none"):
        scmomer.pl.drug_synergy(predictions.iloc[:0])
    with refuses(ValueError, "methods as a list", "methods=['scmomer']"):
        scmomer.pl.drug_synergy(predictions, methods="scmomer")
    with refuses(ValueError, "threshold to be a finite number", "'30'"):
        scmomer.pl.drug_synergy(predictions, threshold="30")
