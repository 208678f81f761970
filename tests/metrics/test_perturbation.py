"""Scores of changes: known answers, and what must not be rewarded."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from scmomer.metrics import perturbation

RNG = np.random.default_rng(0)
N, GENES = 6, 150
CONTROL = RNG.normal(size=GENES)
CHANGE = RNG.normal(size=(N, GENES))


def means(predicted, change=CHANGE, control=CONTROL, **options):
    """Mean of each metric."""
    table = perturbation(predicted, control + change, control, **options)
    return table.groupby("metric")["value"].mean()


def test_a_perfect_prediction():
    found = means(CHANGE, reference=CONTROL, halves=(CHANGE, CHANGE))
    for name in ("pearson", "pearson_top20", "pearson_systema", "direction_top100", "centroid"):
        assert found[name] == pytest.approx(1)
    for name in ("mse", "mse_top20", "weighted_mse"):
        assert found[name] == pytest.approx(0)
    assert found["ceiling"] == pytest.approx(1)
    assert abs(found["pearson_permuted"]) < 0.2


def test_no_change():
    found = means(np.zeros_like(CHANGE))
    assert found["pearson"] == 0
    assert found["mse"] == pytest.approx(np.square(CHANGE).mean())
    assert found["direction_top20"] == 0.5
    assert found["centroid"] == pytest.approx(0.5)


def test_the_mean_has_no_specific_score():
    found = means(np.repeat(CHANGE.mean(axis=0)[None], N, axis=0))
    assert found["pearson"] > 0.2
    assert found["pearson_permuted"] == pytest.approx(found["pearson"])


def test_a_table_row_for_each_metric():
    table = perturbation(
        CHANGE, CONTROL + CHANGE, CONTROL, names=list("abcdef"), groups=["x"] * 3 + ["y"] * 3
    )
    assert list(table.columns) == ["perturbation", "group", "metric", "value"]
    assert not table.duplicated(["perturbation", "group", "metric"]).any()
    assert (table.groupby("metric").size() == N).all()


def test_the_target_is_not_scored():
    targets = np.zeros(CHANGE.shape, bool)
    targets[:, 3] = True
    change = CHANGE.copy()
    change[:, 3] = 50
    predicted = np.zeros_like(change)
    predicted[:, 3] = 50
    assert means(predicted, change)["pearson"] > 0.9
    kept = means(predicted, change, targets=targets, variance=np.ones_like(change))
    same = means(np.zeros((N, GENES - 1)), np.delete(change, 3, 1), np.delete(CONTROL, 3))
    for name in ("pearson", "mse", "mse_top20", "direction_top20", "centroid"):
        assert kept[name] == pytest.approx(same[name])


def test_ranks_leave_out_the_targets_of_both():
    change = np.zeros((2, 4))
    change[0, 0] = change[1, 1] = 9.0  # each lowers itself
    targets = change > 0
    change[0, 2], change[1, 3] = 1.0, 1.0
    swapped = change[::-1].copy()
    swapped[targets] = 9.0
    swapped[targets[::-1]] = 0.0
    right = means(change, change, np.zeros(4), targets=targets, top=[2])
    wrong = means(swapped, change, np.zeros(4), targets=targets, top=[2])
    assert (right["centroid"], wrong["centroid"]) == (1, 0)


def test_shared_noise_of_the_control_is_rewarded():
    rng = np.random.default_rng(1)
    noise, other = rng.normal(size=(2, GENES))
    predicted = np.repeat(-noise[None], N, axis=0)  # no effect: minus the noise of the control
    perturbed = 0.3 * rng.normal(size=(N, GENES))
    shared = perturbation(predicted, perturbed, noise)
    disjoint = perturbation(predicted, perturbed, other)
    value = [t[t["metric"] == "pearson"]["value"].mean() for t in (shared, disjoint)]
    assert value[0] > 0.9
    assert abs(value[1]) < 0.25


def test_ceiling_is_that_of_a_prediction_without_noise():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(20, 3000))
    halves = tuple(truth + rng.normal(size=truth.shape) * np.sqrt(2) for _ in range(2))
    measured = (halves[0] + halves[1]) / 2
    found = means(truth, measured, np.zeros(3000), halves=halves)
    assert found["ceiling"] == pytest.approx(found["pearson"], abs=0.02)


def test_weights_follow_precision():
    change = np.array([[0.0, 1.0, 1.0]])
    variance = np.array([[1.0, 1.0, 4.0]])
    found = means([[0.0, 0.0, 1.0]], change, np.zeros(3), variance=variance, top=[1])
    # Weights 0, 1 and a quarter; the error of 1 is in the second gene.
    assert found["weighted_mse"] == pytest.approx(0.8)


def test_one_perturbation_has_no_rank():
    table = perturbation(CHANGE[:1], CONTROL + CHANGE[:1], CONTROL)
    assert table[table["metric"] == "centroid"]["value"].isna().all()


def test_errors():
    truth = CONTROL + CHANGE
    with pytest.raises(ValueError, match="`perturbed` to have the shape of `predicted`"):
        perturbation(CHANGE[:2], truth, CONTROL)
    with pytest.raises(ValueError, match="`control` of shape"):
        perturbation(CHANGE, truth, CONTROL[:3])
    with pytest.raises(ValueError, match="`targets` to be bool"):
        perturbation(CHANGE, truth, CONTROL, targets=np.zeros(CHANGE.shape))
    with pytest.raises(ValueError, match="genes beside the targets"):
        perturbation(CHANGE, truth, CONTROL, targets=np.ones(CHANGE.shape, bool))
    with pytest.raises(ValueError, match="one of `names` for each of 6 rows, found 1"):
        perturbation(CHANGE, truth, CONTROL, names=["a"])
    with pytest.raises(ValueError, match="finite"):
        perturbation(CHANGE * np.nan, truth, CONTROL)


def test_tables_in_another_order_are_refused(refuses):
    names = [f"p{i}" for i in range(N)]
    genes = [f"g{i}" for i in range(GENES)]
    truth = pd.DataFrame(CONTROL + CHANGE, names, genes)
    guess = pd.DataFrame(CHANGE, names, genes)
    assert means(guess, truth - CONTROL)["pearson"] == pytest.approx(1)
    scope = {"predicted": guess}
    for axis in ("index", "columns"):
        other = truth.sort_index(axis=axis, ascending=False)
        with refuses(ValueError, f"the same {axis} in the same order", f"reindex({axis}=") as _:
            perturbation(guess, other, CONTROL)
        with pytest.raises(ValueError, match="Reindex") as error:
            perturbation(guess, other, CONTROL)
        scope["perturbed"] = other
        exec(str(error.value).split("`")[-2], scope)
        assert perturbation(guess, scope["perturbed"], CONTROL)["value"].notna().any()
    unnamed = guess.reset_index(drop=True)
    assert means(unnamed, truth - CONTROL)["pearson"] == pytest.approx(1)


def test_odd_input_is_refused(refuses):
    truth = CONTROL + CHANGE
    with refuses(TypeError, "`predicted` as an array, found AnnData", "to_df('change')"):
        perturbation(AnnData(CHANGE), truth, CONTROL)
    with refuses(TypeError, "`perturbed` as an array", "perturbed.toarray()"):
        perturbation(CHANGE, sp.csr_matrix(truth), CONTROL)
    for top in (0, [-5], [2.5], ["20"]):
        with refuses(ValueError, "each of top of at least 1"):
            perturbation(CHANGE, truth, CONTROL, top=top)
    assert "mse_top20" in means(CHANGE, top=20)
    for halves in (CHANGE, (CHANGE, CHANGE, CHANGE)):
        with refuses(ValueError, "`halves` as a pair of arrays"):
            perturbation(CHANGE, truth, CONTROL, halves=halves)
    with refuses(ValueError, "`variance` of at least 0"):
        perturbation(CHANGE, truth, CONTROL, variance=-np.ones_like(CHANGE))
