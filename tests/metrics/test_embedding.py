"""Clusters and predicted labels: against sklearn, at their extremes, and their errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scmomer.metrics import clustering_agreement, label_prediction

N_CELLS = 300


@pytest.fixture
def labels() -> NDArray[np.str_]:
    """Three labels in turn, ``(N_CELLS,)``."""
    return np.array(["a", "b", "c"] * (N_CELLS // 3))


@pytest.fixture
def embedding(labels: NDArray[np.str_]) -> NDArray[np.float64]:
    """Overlapping clouds, one per label, ``(N_CELLS, 5)``."""
    centers = pd.factorize(labels)[0][:, None] * np.ones(5)
    return centers + np.random.default_rng(0).normal(size=centers.shape)


@pytest.mark.parametrize("n_clusters", [None, 5])
def test_is_that_of_sklearn(embedding: NDArray, labels: NDArray, n_clusters: int | None) -> None:
    clusters = KMeans(n_clusters or 3, n_init=10, random_state=0).fit_predict(embedding)
    found = clustering_agreement(embedding, labels, n_clusters=n_clusters)
    assert found == {
        "ari": pytest.approx(metrics.adjusted_rand_score(labels, clusters)),
        "ami": pytest.approx(metrics.adjusted_mutual_info_score(labels, clusters)),
        "nmi": pytest.approx(metrics.normalized_mutual_info_score(labels, clusters)),
        "homogeneity": pytest.approx(metrics.homogeneity_score(labels, clusters)),
    }
    assert 0.2 < found["ari"] < 0.9


def test_separated_groups_score_one(embedding: NDArray, labels: NDArray) -> None:
    apart = embedding + 100 * pd.factorize(labels)[0][:, None]
    assert set(clustering_agreement(apart, labels).values()) == {1.0}


def test_noise_scores_zero_where_chance_is_taken_off(labels: NDArray) -> None:
    noise = np.random.default_rng(0).normal(size=(N_CELLS, 5))
    found = clustering_agreement(noise, labels)
    assert found["ari"] == pytest.approx(0, abs=0.02)
    assert found["ami"] == pytest.approx(0, abs=0.02)


def test_cells_without_label_do_not_count(embedding: NDArray, labels: NDArray) -> None:
    padded = np.vstack([embedding, np.full((20, 5), 1e3)])
    for missing in (np.nan, None):
        with_missing = pd.Categorical([*labels, *[missing] * 20])
        assert clustering_agreement(padded, with_missing) == clustering_agreement(embedding, labels)


def test_names_of_labels_do_not_matter(embedding: NDArray, labels: NDArray) -> None:
    renamed = pd.Series(labels).map({"a": 7.5, "b": -1, "c": 0})
    assert clustering_agreement(embedding, renamed) == clustering_agreement(embedding, labels)


def test_arguments_are_checked(embedding: NDArray, labels: NDArray) -> None:
    with pytest.raises(ValueError, match=r"`embedding` to be a non-empty matrix.*\(300,\)"):
        clustering_agreement(embedding[:, 0], labels)
    with pytest.raises(ValueError, match=r"`labels` .* shape \(300,\), found \(299,\)"):
        clustering_agreement(embedding, labels[1:])
    with pytest.raises(ValueError, match=r"`n_clusters` between 1 and .*, 300, found 301"):
        clustering_agreement(embedding, labels, n_clusters=N_CELLS + 1)
    with pytest.raises(ValueError, match="found NaN for all 300"):
        clustering_agreement(embedding, [None] * N_CELLS)
    embedding[0, 0] = np.nan
    with pytest.raises(ValueError, match="`embedding` to be finite"):
        clustering_agreement(embedding, labels)


@pytest.mark.parametrize("n_folds", [2, 3])
def test_prediction_is_that_of_sklearn(embedding: NDArray, labels: NDArray, n_folds: int) -> None:
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    predicted = cross_val_predict(regression, embedding, labels, cv=folds)
    found = label_prediction(embedding, labels, n_folds=n_folds)
    assert found == {
        "accuracy": pytest.approx(metrics.accuracy_score(labels, predicted)),
        "macro_f1": pytest.approx(metrics.f1_score(labels, predicted, average="macro")),
    }
    assert 0.5 < found["accuracy"] < 1


def test_prediction_at_its_extremes(embedding: NDArray, labels: NDArray) -> None:
    apart = embedding + 100 * pd.factorize(labels)[0][:, None]
    assert set(label_prediction(apart, labels).values()) == {1.0}
    shares = np.repeat(["a", "b"], [200, 100])
    nothing = label_prediction(np.zeros((N_CELLS, 2)), shares)
    assert nothing["accuracy"] == pytest.approx(2 / 3)
    assert nothing["macro_f1"] == pytest.approx(0.4)


def test_prediction_leaves_out_cells_without_label(embedding: NDArray, labels: NDArray) -> None:
    padded = np.vstack([embedding, np.full((20, 5), 1e3)])
    for missing in (np.nan, None):
        with_missing = np.array([*labels, *[missing] * 20], dtype=object)
        assert label_prediction(padded, with_missing) == label_prediction(embedding, labels)


def test_prediction_takes_sparse_embeddings(embedding: NDArray, labels: NDArray) -> None:
    found = label_prediction(sparse.csr_matrix(embedding), labels)
    assert found == label_prediction(embedding, labels)


def test_prediction_keeps_rare_labels(embedding: NDArray, labels: NDArray) -> None:
    labels[0] = "once"
    with pytest.warns(UserWarning, match="least populated class"):
        found = label_prediction(embedding, labels)
    assert 0.5 < found["accuracy"] < 1
    assert found["macro_f1"] < found["accuracy"]  # one label of four is never predicted


def test_arguments_of_prediction_are_checked(embedding: NDArray, labels: NDArray) -> None:
    with pytest.raises(ValueError, match=r"`embedding` to be a non-empty matrix.*\(300,\)"):
        label_prediction(embedding[:, 0], labels)
    with pytest.raises(ValueError, match=r"`labels` .* shape \(300,\), found \(299,\)"):
        label_prediction(embedding, labels[1:])
    with pytest.raises(ValueError, match="`n_folds` to be at least 2, found 1"):
        label_prediction(embedding, labels, n_folds=1)
    with pytest.raises(ValueError, match=r"two labels .* found labels of \[300\] cells"):
        label_prediction(embedding, np.zeros(N_CELLS))
    with pytest.raises(ValueError, match=r"two labels .* found labels of \[299, 1\] cells"):
        label_prediction(embedding, np.arange(N_CELLS) == 0)
    with pytest.raises(ValueError, match=r"with 3 \(`n_folds`\), found labels of \[2, 2, 1\]"):
        label_prediction(embedding[:5], labels[:5])
