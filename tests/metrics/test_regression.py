"""Scores of responses to drugs: against scipy and sklearn drug by drug, and by their properties."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, pearsonr, spearmanr
from sklearn.metrics import r2_score

from scmomer.metrics import drug_response, drug_response_per_drug, interval_coverage


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Responses of 30 lines to 8 drugs with NaN, the last drug in 3 lines; predictions."""
    rng = np.random.default_rng(0)
    observed = rng.normal(size=(30, 8)) + 3 * rng.normal(size=8)
    predicted = observed + rng.normal(size=observed.shape)
    predicted[:, 2] = np.round(predicted[:, 2])  # ties
    observed[rng.random(observed.shape) < 0.3] = np.nan
    observed[3:, 7] = np.nan
    observed[:3, 7] = [1.0, 2.0, 3.0]
    return observed, predicted


def test_each_drug_is_that_of_scipy(pair):
    observed, predicted = pair
    found = drug_response_per_drug(observed, predicted)
    for j in range(7):
        here = np.isfinite(observed[:, j])
        y, p = observed[here, j], predicted[here, j]
        expected = [
            here.sum(),
            pearsonr(y, p)[0],
            spearmanr(y, p)[0],
            np.sqrt(((y - p) ** 2).mean()),
        ]
        np.testing.assert_allclose(found.loc[j, ["n", "pearson", "spearman", "rmse"]], expected)
    assert found.loc[7, ["pearson", "spearman"]].isna().all() and found.loc[7, "n"] == 3
    assert drug_response_per_drug(observed, predicted, min_lines=3)["pearson"].notna().all()
    names = [f"d{j}" for j in range(8)]
    assert (
        drug_response_per_drug(pd.DataFrame(observed, columns=names), predicted).index.tolist()
        == names
    )


def test_summary(pair):
    observed, predicted = pair
    found, per_drug = drug_response(observed, predicted), drug_response_per_drug(*pair)
    here = np.isfinite(observed)
    y, p = observed[here], predicted[here]
    assert found["drug_pearson"] == pytest.approx(per_drug["pearson"].mean())
    assert found["drug_pearson_median"] == pytest.approx(per_drug["pearson"].median())
    assert found["drug_spearman"] == pytest.approx(per_drug["spearman"].mean())
    assert found["pearson"] == pytest.approx(pearsonr(y, p)[0])
    assert found["r2"] == pytest.approx(r2_score(y, p))
    assert found["rmse"] == pytest.approx(np.sqrt(((y - p) ** 2).mean()))
    assert (found["n_pairs"], found["n_drugs"], found["n_drugs_left_out"]) == (len(y), 7, 1)
    center = [np.nanmean(observed, axis=0), np.nanmean(np.where(here, predicted, np.nan), axis=0)]
    left = [(values - mean)[here] for values, mean in zip(pair, center, strict=True)]
    assert found["normalized_pearson"] == pytest.approx(pearsonr(*left)[0])


def test_the_mean_of_each_drug_scores_nothing_within_drugs(pair):
    observed = pair[0]
    means = np.nanmean(observed, axis=0) + 0.1
    found = drug_response(observed, np.tile(means, (30, 1)), drug_means=means)
    assert found["drug_pearson"] == found["drug_spearman"] == found["normalized_pearson"] == 0
    assert found["pearson"] > 0.5
    assert drug_response(observed, np.tile(means, (30, 1)))["normalized_pearson"] == 0
    constant = drug_response(observed, np.full_like(observed, 2.0))
    assert constant["pearson"] == 0 and constant["r2"] <= 0


def test_means_of_training_and_of_new_drugs(pair):
    observed, predicted = pair
    means = np.arange(8.0)
    here = np.isfinite(observed)
    left = [(values - means)[here] for values in pair]
    found = drug_response(observed, predicted, drug_means=means)["normalized_pearson"]
    assert found == pytest.approx(pearsonr(*left)[0])
    new = drug_response(observed, predicted, drug_means=np.full(8, np.nan))["normalized_pearson"]
    assert new == drug_response(observed, predicted)["normalized_pearson"]


def test_offsets_of_drugs_do_not_matter_within_drugs(pair):
    observed, predicted = pair
    shifted = predicted + 10 * np.arange(8)
    one, other = drug_response(observed, predicted), drug_response(observed, shifted)
    for name in ("drug_pearson", "drug_spearman", "normalized_pearson"):
        assert one[name] == pytest.approx(other[name])
    assert other["pearson"] < one["pearson"]


def test_against_a_baseline(pair):
    observed, predicted = pair
    baseline = np.where(np.arange(8) < 3, observed, np.random.default_rng(1).normal(size=(30, 8)))
    found = drug_response(observed, predicted, baseline=np.nan_to_num(baseline))
    assert found["share_above_baseline"] == pytest.approx(4 / 7)
    per_drug = drug_response_per_drug(observed, predicted, baseline=np.nan_to_num(baseline))
    assert (per_drug["pearson_minus_baseline"][:7] > 0).tolist() == [False] * 3 + [True] * 4
    assert np.isnan(per_drug["pearson_minus_baseline"][7])


def test_no_drug_with_enough_lines(pair):
    found = drug_response(*pair, min_lines=31)
    assert np.isnan(found["drug_pearson"]) and found["n_drugs"] == 0 and found["pearson"] > 0
    assert np.isnan(drug_response(*pair, min_lines=31, baseline=pair[1])["share_above_baseline"])


def test_lines_without_a_test_value_do_not_count(pair):
    observed, predicted = pair
    more = [
        np.concatenate([m, np.full((5, 8), fill)])
        for m, fill in zip(pair, (np.nan, 99), strict=True)
    ]
    assert drug_response(*more) == pytest.approx(drug_response(observed, predicted))


def test_wrong_responses(pair):
    observed, predicted = pair
    with pytest.raises(ValueError, match=r"`predicted` to have the shape of `observed`, \(30, 8\)"):
        drug_response(observed, predicted[1:])
    with pytest.raises(ValueError, match="values in `observed`, found none"):
        drug_response(np.full((2, 2), np.nan), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="`predicted` for each observed one, found 2 of"):
        at = np.argwhere(np.isfinite(observed))[:2]
        predicted[tuple(at.T)] = np.nan
        drug_response(observed, predicted)
    with pytest.raises(ValueError, match=r"`observed` of shape \(n_lines, n_drugs\), found \(3,\)"):
        drug_response([1.0, 2, 3], [1.0, 2, 3])
    with pytest.raises(ValueError, match=r"`drug_means` of shape \(8,\), .* found \(3,\)"):
        drug_response(observed, np.nan_to_num(observed), drug_means=np.zeros(3))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_coverage_of_a_normal_distribution(level):
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(200, 100)), rng.uniform(0.5, 3, size=(200, 100))
    observed = mean + std * rng.normal(size=mean.shape)
    observed[:50] = np.nan
    # 15,000 values: three standard errors are 0.012 at the most.
    assert interval_coverage(observed, mean, std, level=level) == pytest.approx(level, abs=0.013)
    assert interval_coverage(observed, mean, 2 * std, level=level) > level + 0.03
    assert interval_coverage(observed, mean, 0 * std, level=level) == 0


def test_the_edge_of_the_interval_is_that_of_the_level():
    edge = norm.ppf(0.95)
    assert interval_coverage([edge - 1e-9, edge + 1e-9], [0.0, 0], [1.0, 1]) == 0.5
    with pytest.raises(ValueError, match="`level` between 0 and 1, found 90"):
        interval_coverage([1.0], [1.0], [1.0], level=90)
    with pytest.raises(ValueError, match="`std` to be 0 or more, found -1"):
        interval_coverage([1.0], [1.0], [-1.0])
    with pytest.raises(ValueError, match="in `std` for each observed one, found 1 of 1"):
        interval_coverage([1.0], [1.0], [np.nan])
