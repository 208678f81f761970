"""How well held-out reference cells of each class are annotated."""

from __future__ import annotations

import numpy as np
import pandas as pd


def class_report(probabilities: np.ndarray, codes: np.ndarray, classes: np.ndarray) -> pd.DataFrame:
    """Return measures of each class, the lowest F1 first.

    Parameters
    ----------
    probabilities
        Of held-out cells, ``(n_cells, n_classes)``.
    codes
        Their classes, ``(n_cells,)``.
    classes
        Names, ``(n_classes,)``.

    Returns
    -------
    Index ``class``; columns as in :attr:`scmomer.CellTypeClassifier.class_report_`.
    """
    n = len(classes)
    predicted, largest = probabilities.argmax(1), probabilities.max(1)
    confusion = np.zeros((n, n), int)  # truth x prediction
    np.add.at(confusion, (codes, predicted), 1)
    right, n_true, n_predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    wrong = confusion - np.diag(right)
    confidence = np.bincount(predicted, weights=largest, minlength=n)
    names = classes[wrong.argmax(1)].astype(object)
    with np.errstate(invalid="ignore"):  # NaN for a class without cells
        report = pd.DataFrame(
            {
                "n_cells": n_true,
                "precision": right / n_predicted,
                "recall": right / n_true,
                "f1": 2 * right / (n_true + n_predicted),
                "confidence": confidence / n_predicted,
                "confused_with": np.where(wrong.max(1) > 0, names, ""),
            },
            index=pd.Index(classes.astype(str), name="class"),
        )
    return report.sort_values(["f1", "recall"], kind="stable")
