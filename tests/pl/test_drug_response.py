"""``pl.drug_response``: observed against predicted, within drugs, sensitive or not."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn.metrics import average_precision_score, roc_auc_score

from scmomer import metrics
from scmomer.pl import drug_response
from scmomer.tasks.drugs import read_response

KEY = "scmomer_drug_response"
LINES = [f"line {i}" for i in range(20)]
DRUGS = [f"drug {i}" for i in range(6)]


@pytest.fixture
def observed() -> pd.DataFrame:
    """ln(uM) of 20 lines and 6 drugs, some not measured."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20, 6)) + np.arange(6)
    values[rng.random(values.shape) < 0.1] = np.nan
    return pd.DataFrame(values, index=LINES, columns=DRUGS)


@pytest.fixture
def predicted(observed) -> AnnData:
    """As of a model: close to what is observed."""
    rng = np.random.default_rng(1)
    mean = observed.fillna(1.0) + rng.normal(scale=0.5, size=observed.shape)
    found = AnnData(mean.astype(np.float32))
    found.layers["std"] = np.full(found.shape, 0.5, np.float32)
    found.layers["naive"] = np.tile(np.arange(6, dtype=np.float32), (20, 1))
    found.uns[KEY] = {"units": "ln_um"}
    return found


def cells_of(predicted: AnnData) -> AnnData:
    """The same as of ``tl.drug_response``."""
    cells = AnnData(np.zeros((20, 3), np.float32), obs=pd.DataFrame(index=LINES))
    cells.obsm[KEY] = predicted.to_df()
    cells.obsm[f"{KEY}_std"] = pd.DataFrame(
        predicted.layers["std"], index=LINES, columns=predicted.var_names
    )
    cells.uns[KEY] = {"units": "ln_um"}
    return cells


def bars(ax) -> int:
    return int(sum(p.get_height() for p in ax.patches if type(p).__name__ == "Rectangle"))


def test_points_are_measured_pairs(predicted, observed):
    left, right = drug_response(predicted, observed, show=False)
    here = observed.notna().to_numpy()
    points = left.collections[0].get_offsets()
    assert np.allclose(points[:, 0], predicted.X[here])
    assert np.allclose(points[:, 1], observed.to_numpy()[here])
    scores = metrics.drug_response(observed, predicted.X)
    title = f"{here.sum()} pairs: r = {scores['pearson']:.2f}, RMSE {scores['rmse']:.2f}"
    assert left.get_title() == title and left.get_xlabel() == "predicted response (ln_um)"
    means = np.broadcast_to(observed.mean().to_numpy(), observed.shape)
    naive = metrics.drug_response(observed, means)
    assert left.texts[0].get_text().startswith(f"drug means: r = {naive['pearson']:.2f}")
    assert right.get_title() == f"6 drugs: mean r within drugs = {scores['drug_pearson']:.2f}"
    assert bars(right) == 6


def test_the_order_of_lines_and_drugs_is_of_no_account(predicted, observed):
    shuffled = observed.iloc[::-1, ::-1].drop(index=LINES[0]).rename(columns=str.upper)
    left, right = drug_response(predicted, shuffled, show=False)
    scores = metrics.drug_response(observed[1:], predicted.X[1:])
    assert f"r = {scores['pearson']:.2f}" in left.get_title()
    assert f"= {scores['drug_pearson']:.2f}" in right.get_title()


def test_results_of_tl_and_tables_that_were_read(predicted, observed):
    one = [ax.get_title() for ax in drug_response(predicted, observed, show=False)]
    table = observed.rename_axis("cell_line").reset_index()
    table = table.melt("cell_line", var_name="drug", value_name="ln_ic50").dropna()
    two = drug_response(cells_of(predicted), read_response(table), show=False)
    assert [ax.get_title() for ax in two] == one
    assert two[1].get_legend() is None  # predictions without networks are only in the first


def test_many_pairs_are_drawn_as_density(predicted, observed, monkeypatch):
    from scmomer.pl import _drug_response

    monkeypatch.setattr(_drug_response, "_MAX_POINTS", 50)
    (ax, _) = drug_response(predicted, observed, show=False)
    assert type(ax.collections[0]).__name__ == "PolyCollection"


def test_drugs_of_few_lines_are_not_in_the_histogram(predicted, observed):
    observed.iloc[4:, 0] = np.nan
    _, ax = drug_response(predicted, observed, show=False)
    assert ax.get_title().startswith("5 drugs") and bars(ax) == 5
    _, ax = drug_response(predicted, observed, min_lines=30, show=False)
    assert ax.get_title() == "no drug with 30 lines"


@pytest.mark.parametrize("as_cells", [False, True], ids=["predict", "tl"])
def test_curves_with_the_shares_of_drugs_beside(predicted, observed, as_cells):
    data = cells_of(predicted) if as_cells else predicted
    limits = dict.fromkeys(DRUGS[:5], 1.5)
    axes = drug_response(data, observed, thresholds=limits, show=False)
    assert len(axes) == 4
    here = observed.notna().to_numpy() & (np.arange(6) < 5)
    positive = (observed.to_numpy() < 1.5)[here]
    auroc = roc_auc_score(positive, -predicted.X[here])
    precision = average_precision_score(positive, -predicted.X[here])
    labels = observed.lt(1.5).where(observed.notna()).astype(float)
    share = np.broadcast_to(labels.mean().to_numpy(), observed.shape)[here]
    roc, recall = ([t.get_text() for t in ax.get_legend().get_texts()] for ax in axes[2:])
    assert roc == [
        f"share of each drug {roc_auc_score(positive, share):.3f}",
        f"predicted {auroc:.3f}",
    ]
    assert recall[1] == f"predicted {precision:.3f}"
    assert axes[3].get_title() == f"{here.sum()} pairs, {positive.mean():.1%} sensitive"


def test_axes_and_files(predicted, observed, tmp_path):
    _, mine = plt.subplots(1, 2)
    assert drug_response(predicted, observed, ax=mine, show=False) == list(mine)
    drug_response(predicted, observed, save=tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 5000


def test_other_units_are_refused(predicted, observed, refuses):
    table = observed.rename_axis("cell_line").reset_index().melt("cell_line", var_name="drug")
    auc = read_response(table.assign(value=1 / (1 + np.exp(-table["value"]))), units="auc")
    for data in (predicted, cells_of(predicted)):
        with refuses(ValueError, "'ln_um'", "'auc'", "Pass those"):
            drug_response(data, auc, show=False)


def test_training_lines_say_nothing_of_new_ones(predicted, observed, recwarn):
    predicted.obs["is_training_line"] = [True] * 19 + [False]
    drug_response(predicted, observed, show=False)
    assert not [w for w in recwarn if "training lines" in str(w.message)]
    with pytest.warns(UserWarning, match="All observed lines are training lines"):
        drug_response(predicted, observed[:10], show=False)


def test_repeated_and_absent_names(predicted, observed, refuses):
    with refuses(ValueError, "unique names in observed.index", "line 0", "Average"):
        drug_response(predicted, observed.rename(index={"line 1": "line 0"}))
    with refuses(ValueError, "unique names in observed.columns", "drug 0"):
        drug_response(predicted, observed.rename(columns={"drug 1": "drug 0"}))
    with refuses(ValueError, "names in observed.index", "none"):
        drug_response(predicted, observed[:0])
    with refuses(ValueError, "names in predicted.obs_names", "none"):
        drug_response(predicted[:0], observed)
    with refuses(TypeError, "AnnData", "DataFrame", "predict()"):
        drug_response(predicted.to_df(), observed)
    predicted.obs_names = ["line 1", *LINES[1:]]
    with refuses(ValueError, "unique names in predicted.obs_names", "line 1"):
        drug_response(predicted, observed)


def test_what_is_refused(predicted, observed, refuses):
    with refuses(KeyError, KEY, "scmomer.tl.drug_response"):
        drug_response(AnnData(np.zeros((2, 2), np.float32)), observed)
    with refuses(TypeError, "DataFrame", "ndarray", "read_response"):
        drug_response(predicted, observed.to_numpy())
    with refuses(ValueError, "drugs", "'other 0'", "'drug 0'"):
        drug_response(predicted, observed.set_axis([f"other {i}" for i in range(6)], axis=1))
    with refuses(ValueError, "only NaN"):
        drug_response(predicted, observed * np.nan)
    with refuses(ValueError, "thresholds", "0 of"):
        drug_response(predicted, observed, thresholds=dict.fromkeys(DRUGS, -100.0))
    with refuses(ValueError, "2 Axes"):
        drug_response(predicted, observed, ax=plt.subplots(1, 3)[1])
