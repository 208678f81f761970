"""Recovery of marker features: against sets and scipy, and by its properties."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from scmomer.metrics import marker_recovery

N_GROUPS, N_FEATURES, K = 4, 60, 10


@pytest.fixture
def true_scores() -> NDArray[np.float64]:
    """Log fold changes, ``(N_GROUPS, N_FEATURES)``."""
    return np.random.default_rng(0).normal(size=(N_GROUPS, N_FEATURES))


@pytest.fixture
def predicted_scores(true_scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noisy log fold changes, ``(N_GROUPS, N_FEATURES)``."""
    return true_scores + np.random.default_rng(1).normal(size=true_scores.shape)


def frame(scores: NDArray) -> pd.DataFrame:
    """Name groups and features."""
    return pd.DataFrame(scores, list("abcd"), [f"gene{j}" for j in range(scores.shape[1])])


def test_is_that_of_sets_and_scipy(true_scores: NDArray, predicted_scores: NDArray) -> None:
    pairs = list(zip(true_scores, predicted_scores, strict=True))
    shared = [len(set(np.argsort(t)[-K:]) & set(np.argsort(p)[-K:])) for t, p in pairs]
    found = marker_recovery(true_scores, predicted_scores, k=K)
    assert found == {
        "precision_at_k": pytest.approx(np.mean(shared) / K),
        "spearman": pytest.approx(np.mean([spearmanr(t, p).statistic for t, p in pairs])),
    }
    assert 0.3 < found["precision_at_k"] < 0.9


def test_ties_share_the_last_places(true_scores: NDArray) -> None:
    rng = np.random.default_rng(2)
    tied = np.round(true_scores)
    broken = [
        marker_recovery(true_scores, tied + 1e-6 * rng.random(tied.shape), k=K)["precision_at_k"]
        for _ in range(300)
    ]
    expected = marker_recovery(true_scores, tied, k=K)["precision_at_k"]
    assert np.std(broken) > 0
    assert expected == pytest.approx(np.mean(broken), abs=0.01)


def test_extremes(true_scores: NDArray) -> None:
    assert marker_recovery(true_scores, 2 * true_scores + 1, k=K) == {
        "precision_at_k": 1,
        "spearman": pytest.approx(1),
    }
    assert marker_recovery(true_scores, -true_scores, k=K) == {
        "precision_at_k": 0,
        "spearman": pytest.approx(-1),
    }
    constant = marker_recovery(true_scores, np.zeros_like(true_scores), k=K)
    assert constant == {"precision_at_k": pytest.approx(K / N_FEATURES), "spearman": 0}
    everything = marker_recovery(true_scores, -true_scores, k=N_FEATURES)
    assert everything["precision_at_k"] == 1


def test_frames_are_matched_by_name(true_scores: NDArray, predicted_scores: NDArray) -> None:
    expected = marker_recovery(true_scores, predicted_scores, k=K)
    true, predicted = frame(true_scores), frame(predicted_scores)
    shuffled = predicted.iloc[::-1, ::-1]
    assert marker_recovery(true, shuffled, k=K) == expected
    assert marker_recovery(true_scores, predicted, k=K) == expected


def test_arguments_are_checked(true_scores: NDArray, predicted_scores: NDArray) -> None:
    true, predicted = frame(true_scores), frame(predicted_scores)
    with pytest.raises(ValueError, match="features, 60, found 100"):
        marker_recovery(true_scores, predicted_scores)
    with pytest.raises(ValueError, match=r"`predicted_scores` .*found \(4, 59\)"):
        marker_recovery(true_scores, predicted_scores[:, 1:], k=K)
    with pytest.raises(ValueError, match=r"the features \(columns\).* 1 in only .* 'gene0'"):
        marker_recovery(true, predicted.iloc[:, 1:], k=K)
    with pytest.raises(ValueError, match=r"the groups \(rows\) .* 2 in only one"):
        marker_recovery(true, predicted.rename(index={"a": "z"}), k=K)
    with pytest.raises(ValueError, match=r"unique groups \(rows\), found duplicates"):
        marker_recovery(true, predicted.rename(index={"a": "b"}), k=K)
    predicted_scores[0, 0] = np.nan
    with pytest.raises(ValueError, match="`predicted_scores` to be finite"):
        marker_recovery(true_scores, predicted_scores, k=K)
