"""Measures of held-out cells by class."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import precision_recall_fscore_support

from scmomer.tasks.annotation._class_report import class_report

CLASSES = np.array(["B", "NK", "T"])


def test_measures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=500)
    probabilities = softmax(rng.normal(size=(500, 3)) + np.eye(3)[codes], 1)
    found = class_report(probabilities, codes, CLASSES)
    assert found["f1"].is_monotonic_increasing and found.index.name == "class"
    found, predicted = found.loc[CLASSES], probabilities.argmax(1)
    expected = precision_recall_fscore_support(codes, predicted)
    for name, values in zip(["precision", "recall", "f1", "n_cells"], expected, strict=True):
        np.testing.assert_allclose(found[name], values)
    sure = pd.Series(probabilities.max(1)).groupby(predicted).mean()
    np.testing.assert_allclose(found["confidence"], sure)


def test_the_class_that_most_errors_go_to_is_named():
    codes = np.array([0, 0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 2, 2, 1, 1, 1, 2])
    found = class_report(0.1 + 0.7 * np.eye(3)[predicted], codes, CLASSES)
    assert found["confused_with"].to_dict() == {"B": "T", "NK": "", "T": ""}
    assert found["confidence"].to_numpy() == pytest.approx(0.8)
    assert found.index.tolist() == ["B", "T", "NK"]


def test_a_class_that_is_never_predicted_has_no_precision():
    found = class_report(np.eye(3)[[0, 0, 1]], np.array([0, 2, 1]), CLASSES)
    assert np.isnan(found.loc["T", "precision"]) and np.isnan(found.loc["T", "confidence"])
    assert found.loc["T", ["recall", "f1"]].tolist() == [0, 0]
