"""Sensitive and synergistic: against sklearn, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from scmomer.metrics import binary_labels, drug_sensitivity, drug_synergy


@pytest.fixture
def labels() -> np.ndarray:
    """0, 1 and NaN for 40 lines and 6 drugs; drug 4 has one class, drug 5 no label."""
    rng = np.random.default_rng(0)
    values = (rng.random((40, 6)) < [0.1, 0.2, 0.4, 0.5, 0.0, 0.5]).astype(float)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 5] = np.nan
    return values


@pytest.fixture
def score(labels) -> np.ndarray:
    """Scores with ties."""
    noise = np.random.default_rng(1).normal(size=labels.shape)
    return np.round(np.nan_to_num(labels) + noise, 1)


def test_each_drug_and_all_pairs_are_those_of_sklearn(labels, score):
    found = drug_sensitivity(labels, score)
    auroc, precision, rate = [], [], []
    for j in range(4):
        here = np.isfinite(labels[:, j])
        auroc.append(roc_auc_score(labels[here, j], score[here, j]))
        precision.append(average_precision_score(labels[here, j], score[here, j]))
        rate.append(labels[here, j].mean())
    assert found["drug_auroc"] == pytest.approx(np.mean(auroc))
    assert found["drug_average_precision"] == pytest.approx(np.mean(precision))
    assert found["drug_base_rate"] == pytest.approx(np.mean(rate))
    here = np.isfinite(labels)
    assert found["auroc"] == pytest.approx(roc_auc_score(labels[here], score[here]))
    assert found["average_precision"] == pytest.approx(
        average_precision_score(labels[here], score[here])
    )
    assert found["base_rate"] == pytest.approx(labels[here].mean())
    assert (found["n_pairs"], found["n_drugs"], found["n_drugs_left_out"]) == (here.sum(), 4, 1)


def test_the_base_rate_of_each_drug_scores_nothing_within_drugs(labels):
    rates = np.nanmean(labels[:, :5], axis=0)
    found = drug_sensitivity(labels, np.append(rates, 0.3) + np.zeros(labels.shape))
    assert found["drug_auroc"] == 0.5 and found["auroc"] > 0.6
    assert found["drug_average_precision"] == pytest.approx(found["drug_base_rate"])


def test_perfect_and_reversed_scores(labels):
    known = np.nan_to_num(labels)
    perfect = drug_sensitivity(labels, known)
    assert perfect["drug_auroc"] == perfect["drug_average_precision"] == perfect["auroc"] == 1
    assert drug_sensitivity(labels, -known)["drug_auroc"] == 0


def test_one_class(labels, score):
    found = drug_sensitivity(np.where(np.isfinite(labels), 0, np.nan), score)
    assert all(np.isnan(found[n]) for n in ("drug_auroc", "auroc", "average_precision"))
    assert found["n_drugs"] == 0 and found["n_drugs_left_out"] == 5 and found["base_rate"] == 0


def test_wrong_labels(labels, score):
    with pytest.raises(ValueError, match=r"0, 1 or NaN in `sensitive`, found \[-1.0, 2.0\]"):
        drug_sensitivity(np.where(labels == 1, 2, -labels - 1), score)
    with pytest.raises(ValueError, match="`score` to have the shape of `sensitive`"):
        drug_sensitivity(labels, score[1:])
    with pytest.raises(ValueError, match=r"`sensitive` of shape \(n_lines, n_drugs\)"):
        drug_sensitivity([1.0, 0.0], [1.0, 0.0])


def test_synergy():
    rng = np.random.default_rng(0)
    observed = rng.normal(scale=30, size=300)
    predicted = observed + rng.normal(scale=30, size=300)
    found = drug_synergy(np.append(observed, np.nan), np.append(predicted, np.nan))
    assert found["mse"] == pytest.approx(((observed - predicted) ** 2).mean())
    assert found["rmse"] == pytest.approx(np.sqrt(found["mse"]))
    assert found["pearson"] == pytest.approx(pearsonr(observed, predicted)[0])
    assert found["spearman"] == pytest.approx(spearmanr(observed, predicted)[0])
    assert found["auroc"] == pytest.approx(roc_auc_score(observed > 30, predicted))
    assert found["average_precision"] == pytest.approx(
        average_precision_score(observed > 30, predicted)
    )
    assert found["base_rate"] == (observed > 30).mean() and found["n"] == 300
    other = drug_synergy(observed, predicted, threshold=0)
    assert other["auroc"] == pytest.approx(roc_auc_score(observed > 0, predicted))


def test_constant_synergy():
    found = drug_synergy([40.0, 0.0, 10.0], [5.0, 5.0, 5.0])
    assert found["pearson"] == found["spearman"] == 0 and found["auroc"] == 0.5
    assert np.isnan(drug_synergy([0.0, 10.0], [0.0, 1.0])["auroc"])


def test_labels_by_threshold():
    values = np.array([[1.0, 2.0, 3.0], [2.0, np.nan, 4.0]])
    found = binary_labels(values, [2.0, 3.0, np.nan])
    np.testing.assert_array_equal(found, [[1, 1, np.nan], [0, np.nan, np.nan]])


def test_labels_by_quantile_of_training_lines_only():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(100, 4)) + [0, 5, -5, 0]
    training = np.arange(100)[:, None] < np.array([80, 80, 80, 3])
    found = binary_labels(values, rule="quantile", quantile=0.25, training=training)
    assert (found[:80, :3].mean(axis=0) == 0.25).all()
    assert np.isnan(found[:, 3]).all()  # three training lines
    changed = np.where(training, values, values - 100)
    again = binary_labels(changed, rule="quantile", quantile=0.25, training=training)
    np.testing.assert_array_equal(found[:80], again[:80])
    assert (again[80:, :3] == 1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Expected `thresholds`, found none. Pass one for each drug, or rule='quantile'"),
        ({"thresholds": [1.0]}, r"`thresholds` of shape \(4,\), .* found \(1,\)"),
        ({"rule": "median"}, r"`rule` one of \['threshold', 'quantile'\], found 'median'"),
        ({"rule": "quantile"}, "`training` for rule='quantile', found none"),
        (
            {"rule": "quantile", "training": np.ones((5, 3), bool)},
            r"bool of shape \(5, 4\), found bool",
        ),
        (
            {"rule": "quantile", "training": np.ones((5, 4))},
            r"bool of shape \(5, 4\), found float64",
        ),
        (
            {"rule": "quantile", "quantile": 1, "training": np.ones((5, 4), bool)},
            "between 0 and 1, found 1",
        ),
    ],
)
def test_wrong_rules(options, message):
    with pytest.raises(ValueError, match=message):
        binary_labels(np.zeros((5, 4)), **options)
