from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.drugs import DrugResponseModel
from scmomer.tasks.drugs.response import _evaluate as module

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")

NAIVE = {
    *("mean", "drug mean", "line mean", "mean effects", "soft-impute"),
    *("ridge, cell effect", "ridge", "other drugs", "similar drugs"),
}


def evaluate(screen, model=None, response=None, **kwargs) -> pd.DataFrame:
    model = model or DrugResponseModel(n_members=2)
    response = screen.response if response is None else response
    return model.evaluate(
        response, screen.cells, screen.drugs, **{"profile": "zscore", "n_folds": 3, **kwargs}
    )


@pytest.fixture(scope="module")
def small(make_screen):
    return make_screen(n_lines=45)


@pytest.mark.parametrize("split", ["lpo", "lco", "ldo", "lto"])
def test_naive_rows_are_always_there(small, split, few_epochs):
    response = small.response.assign(
        tissue="tissue " + (small.response["cell_line"].str[5:].astype(int) % 4).astype(str)
    )
    found = evaluate(small, response=response, split=split)
    tissues = {"tissue mean", "tissue x drug mean"}
    methods = {*NAIVE, *tissues, "scmomer", "scmomer, no network"}
    for _, fold in found.groupby(["seed", "fold"]):
        assert set(fold["method"]) == methods
        assert fold["method"].is_unique
    assert found["fold"].nunique() == 3
    assert (found["split"] == split).all()
    assert found["rmse"].notna().all()
    assert found["n_pairs"].groupby(found["method"]).sum().eq(len(small.response)).all()
    ours = found["method"].isin(["scmomer", "scmomer, no network"])
    assert found.loc[found["method"] == "scmomer", "coverage"].between(0, 1).all()
    assert found.loc[~ours, "cell_network"].isna().all()


@pytest.mark.parametrize("split", ["lpo", "lco", "ldo"])
def test_test_pairs_are_in_no_training(small, split, few_epochs, monkeypatch):
    """All predictions of a fold are the same whatever its test pairs are."""
    folds = list(module.folds(small.values.to_numpy(), split, n_folds=3, seed=0))
    seen = []
    real = module.fit_response

    def spy(values, blocks, molecules, settings, **kwargs):
        seen.append((np.isfinite(values).sum(), len(blocks[0]), len(molecules)))
        return real(values, blocks, molecules, settings, **kwargs)

    monkeypatch.setattr(module, "fit_response", spy)
    evaluate(small, split=split)
    for fold, (n_pairs, n_lines, n_drugs) in zip(folds, seen, strict=True):
        train = fold.train | fold.validation
        assert not (train & fold.test).any()
        assert n_pairs == train.sum()
        assert (n_lines, n_drugs) == (train.any(1).sum(), train.any(0).sum())
        other = {"lpo": None, "lco": 1, "ldo": 0}[split]
        if other is not None:
            assert not (train.any(other) & fold.test.any(other)).any()


def test_values_of_test_pairs_change_no_prediction(small, few_epochs, monkeypatch):
    predictions: list[dict[str, np.ndarray]] = []

    def keep(data, fold, found):
        mean = found if isinstance(found, np.ndarray) else found.mean
        predictions[-1][str(len(predictions[-1]))] = mean[fold.test]
        return {}

    monkeypatch.setattr(module, "_scores", keep)
    fold = next(iter(module.folds(small.values.to_numpy(), "lco", n_folds=3, seed=0)))
    changed = small.response.copy()
    lines = small.cells.obs_names[fold.test.any(1)]
    changed.loc[changed["cell_line"].isin(lines), "ln_ic50"] += (
        np.arange(changed["cell_line"].isin(lines).sum()) * 0.01
    )
    for response in (small.response, changed):
        predictions.append({})
        monkeypatch.setattr(module, "folds", lambda *args, **kwargs: iter([fold]))
        evaluate(small, response=response, split="lco", ablations=["published"])
    assert len(predictions[0]) == len(NAIVE) + 3
    for key, one in predictions[0].items():
        np.testing.assert_array_equal(one, predictions[1][key])


def test_permuted_cells_lose_on_new_lines(make_screen):
    found = evaluate(make_screen(n_lines=75), split="lco", ablations=["cells permuted"])
    score = found.groupby("method")["drug_pearson"].mean()
    assert score["scmomer"] > 0.7
    assert abs(score["cells permuted"]) < 0.25
    rmse = found.groupby("method")["rmse"].mean()
    assert rmse["scmomer"] < rmse["drug mean"] < rmse["cells permuted"] * 1.02


def test_permuted_drugs_lose_on_new_drugs(make_screen, few_epochs):
    found = evaluate(make_screen(n_lines=45, n_drugs=24), split="ldo", ablations=["drugs permuted"])
    score = found.groupby("method")["drug_pearson"].mean()
    assert score["scmomer"] > score["other drugs"] > 0.2
    assert score["drugs permuted"] < score["scmomer"] - 0.1


def test_coverage_on_new_lines(make_screen):
    found = evaluate(make_screen(n_lines=120), split="lco", n_folds=4)
    coverage = found.loc[found["method"] == "scmomer", "coverage"]
    assert 0.85 < coverage.mean() < 0.95


def test_ablations(small, few_epochs, refuses):
    found = evaluate(small, split="lco", ablations=["published", "cells permuted"], n_folds=2)
    extra = {"published network", "cells permuted"}
    assert set(found["method"]) == {*NAIVE, *extra, "scmomer", "scmomer, no network"}
    alone = evaluate(small, split="lco", ablations=["cells permuted"], n_folds=2)
    both = evaluate(small, split="lco", ablations=["drugs permuted", "cells permuted"], n_folds=2)
    for method in ("scmomer", "cells permuted"):  # whatever else is asked for
        a, b = (x.loc[x["method"] == method, "rmse"].to_numpy() for x in (alone, both))
        np.testing.assert_array_equal(a, b)
    with refuses(ValueError, "ablations among", "'cells zeroed'"):
        evaluate(small, ablations=["cells zeroed"])


def test_seeds(small, few_epochs):
    found = evaluate(small, split="lco", seeds=[0, 3], n_folds=2)
    assert found.groupby("seed")["fold"].nunique().to_dict() == {0: 2, 3: 2}
    means = found[found["method"] == "drug mean"].groupby("seed")["rmse"].first()
    assert means[0] != means[3]
    again = evaluate(small, split="lco", seeds=[3], n_folds=2)
    wanted = found[found["seed"] == 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, wanted)


def test_wrong_seeds_and_ablations(small, refuses):
    with refuses(TypeError, "seeds as a list", "3", "seeds=[0, 1, 2]"):
        evaluate(small, seeds=3)
    with refuses(ValueError, "at least one seed", "[]"):
        evaluate(small, seeds=[])
    with refuses(ValueError, "whole numbers", "[-1, 0.5]"):
        evaluate(small, seeds=[0, -1, 0.5])
    with refuses(TypeError, "ablations as a list", "ablations=['cells permuted']"):
        evaluate(small, ablations="cells permuted")


def test_shares_and_single_units(small, few_epochs):
    found = evaluate(small, split="lpo", test_share=0.1)
    assert found["fold"].unique().tolist() == [0]
    assert found["n_pairs"].iloc[0] == round(0.1 * len(small.response))


def test_thresholds(small, few_epochs):
    limits = small.values.median()
    found = evaluate(small, split="lco", thresholds=limits)
    ours = found[found["method"] == "scmomer"]
    assert (ours["drug_auroc"] > 0.7).all()
    assert (ours["drug_average_precision"] > ours["drug_base_rate"]).all()
    naive = found[found["method"] == "drug mean"]
    np.testing.assert_allclose(naive["drug_auroc"], 0.5)
    np.testing.assert_allclose(naive["drug_average_precision"], naive["drug_base_rate"])
    assert found["base_rate"].between(0.3, 0.7).all()


def test_folds_without_thresholds(small, few_epochs):
    """Of new drugs, a fold may have none with a threshold: its scores are missing."""
    found = evaluate(small, split="ldo", thresholds={small.drugs.index[0]: 0.0})
    missing = found.groupby("fold")["auroc"].apply(lambda x: x.isna().all())
    assert missing.sum() == 2
    assert found["rmse"].notna().all()


def test_rows_of_drugs(small, few_epochs):
    found = evaluate(small, split="lco", per_drug=True, n_folds=2)
    ours = found[(found["method"] == "scmomer") & (found["fold"] == 0)]
    assert ours["drug"].tolist() == small.drugs.index.tolist()
    assert {"n", "pearson", "spearman", "rmse"} <= set(found)


def test_naive_predictions_read_expression_that_the_model_does_not(screen, trained, few_epochs):
    cells = screen.cells.copy()
    cells.X = np.random.default_rng(0).poisson(3, cells.shape).astype(np.float32)
    cells.var_names = trained.adata["rna"].var_names
    model = DrugResponseModel(trained, cell_inputs="embedding", n_members=2)
    found = model.evaluate(screen.response, cells, screen.drugs, n_folds=2)
    assert "ridge" in set(found["method"])
    assert model._fitted is None
