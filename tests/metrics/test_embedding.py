"""Agreement of clusters with labels: against sklearn, at its extremes, and its errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.cluster import KMeans

from scmomer.metrics import clustering_agreement

N_CELLS = 300


@pytest.fixture
def labels() -> NDArray[np.str_]:
    """Three labels in turn, ``(N_CELLS,)``."""
    return np.array(["a", "b", "c"] * (N_CELLS // 3))


@pytest.fixture
def embedding(labels: NDArray[np.str_]) -> NDArray[np.float64]:
    """Overlapping clouds, one per label, ``(N_CELLS, 5)``."""
    centres = pd.factorize(labels)[0][:, None] * np.ones(5)
    return centres + np.random.default_rng(0).normal(size=centres.shape)


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
