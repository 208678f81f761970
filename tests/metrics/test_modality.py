"""Scores of Open Problems: against scipy and sklearn, and by their properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from scmomer.metrics import predict_modality


def correlation(function: Callable, x: NDArray, y: NDArray) -> float:
    """Correlate two vectors, 0 if one is constant."""
    return 0.0 if np.ptp(x) == 0 or np.ptp(y) == 0 else function(x, y).statistic


def naive(truth: NDArray, prediction: NDArray) -> dict[str, float]:
    """Correlate cell by cell and gene by gene."""
    truth, prediction = truth.astype(float), prediction.astype(float)
    expected = {
        "rmse": root_mean_squared_error(truth.ravel(), prediction.ravel()),
        "mae": mean_absolute_error(truth.ravel(), prediction.ravel()),
    }
    for name, function in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        for kind, pairs in (
            ("cell", zip(truth, prediction, strict=True)),
            ("gene", zip(truth.T, prediction.T, strict=True)),
        ):
            values = [correlation(function, x, y) for x, y in pairs]
            expected[f"mean_{name}_per_{kind}"] = np.mean(values)
        expected[f"overall_{name}"] = function(truth.ravel(), prediction.ravel()).statistic
    return expected


def test_is_that_of_scipy(truth: NDArray, score: NDArray, to_format: Callable) -> None:
    assert np.ptp(truth, axis=0).min() == 0  # includes a constant gene
    expected = naive(truth, score)
    assert predict_modality(to_format(truth), to_format(score)) == pytest.approx(expected)
    assert predict_modality(truth, to_format(score)) == pytest.approx(expected)


def test_values_below_zero(truth: NDArray, score: NDArray, to_format: Callable) -> None:
    prediction = score * np.where(np.arange(score.shape[1]) % 3, 1, -1)
    expected = naive(truth, prediction)
    assert predict_modality(truth, to_format(prediction)) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float64])
def test_types_of_numbers_do_not_matter(truth: NDArray, score: NDArray, dtype: type) -> None:
    found = predict_modality(truth.astype(dtype), score.astype(dtype))
    assert found == pytest.approx(predict_modality(truth, score))


def test_prediction_of_itself(truth: NDArray) -> None:
    varying = truth[:, truth.std(0) > 0]
    found = predict_modality(varying, varying)
    assert found.pop("rmse") == found.pop("mae") == 0
    assert found == pytest.approx(dict.fromkeys(found, 1))


def test_the_mean_profile_scores_per_cell_only(truth: NDArray) -> None:
    mean = np.tile(truth.mean(0), (truth.shape[0], 1))
    found = predict_modality(truth, mean)
    assert found["mean_pearson_per_gene"] == found["mean_spearman_per_gene"] == 0
    assert found["mean_pearson_per_cell"] > 0.4


def test_constant_prediction_counts_zero(truth: NDArray) -> None:
    found = predict_modality(truth, np.full_like(truth, 0.1))
    assert {value for name, value in found.items() if name not in ("rmse", "mae")} == {0}


@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_chunk_size_does_not_matter(truth: NDArray, score: NDArray, chunk_size: int) -> None:
    found = predict_modality(truth, score, chunk_size=chunk_size)
    assert found == pytest.approx(predict_modality(truth, score), rel=1e-12)


def test_inputs_stay_as_they_are(truth: NDArray, score: NDArray, to_format: Callable) -> None:
    prediction = to_format(score)
    predict_modality(truth, prediction)
    after = prediction if isinstance(prediction, np.ndarray) else prediction.toarray()
    np.testing.assert_array_equal(after, score)


def test_arguments_are_checked(truth: NDArray, score: NDArray) -> None:
    with pytest.raises(ValueError, match=r"`prediction` .* of `truth`.*found \(120, 39\)"):
        predict_modality(truth, score[:, 1:])
    with pytest.raises(ValueError, match="`chunk_size` to be at least 1, found 0"):
        predict_modality(truth, score, chunk_size=0)
    score[0, 0] = np.nan
    with pytest.raises(ValueError, match="`prediction` to be finite"):
        predict_modality(truth, score)
