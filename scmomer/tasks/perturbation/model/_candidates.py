"""Simple predictions as weights of training changes."""

from __future__ import annotations

import numpy as np

from scmomer.tasks.perturbation.model._design import Design


def mean_weights(design: Design, train: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the weights of the training mean, ``(n_query, n_train)``."""
    return np.full((len(query), len(train)), 1 / len(train))


def additive_weights(design: Design, train: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the weights of the sum of parts; the mean of single ones for parts not seen alone."""
    single = design.single[train]
    base = single if single.any() else np.ones(len(train), bool)
    mean = base / base.sum()
    alone = {design.parts[row][0]: k for k, row in enumerate(train) if design.single[row]}
    found = np.zeros((len(query), len(train)))
    for i, row in enumerate(query):
        for part in design.parts[row]:
            if part in alone:
                found[i, alone[part]] += 1
            else:
                found[i] += mean
    return found
