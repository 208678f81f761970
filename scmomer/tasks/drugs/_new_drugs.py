"""Response to new drugs from their structure: what similar training drugs did."""

from __future__ import annotations

from typing import Final

import numpy as np

_SPREADS: Final = 1.0  # standard deviations of similarity that count e times
_LEAST: Final = 0.05  # of similarity: training drugs may all be about as similar


def similarity_weights(similarity: np.ndarray, among_training: np.ndarray) -> np.ndarray:
    """Return the weights of training drugs for new ones.

    Parameters
    ----------
    similarity
        Of new drugs to training drugs, ``(n_new, n_drugs)``.
    among_training
        Of training drugs to each other, ``(n_drugs, n_drugs)``: their spread is the unit.

    Returns
    -------
    ndarray
        ``(n_new, n_drugs)``; each row sums to 1.
    """
    n = len(among_training)
    others = among_training[~np.eye(n, dtype=bool)]
    width = _SPREADS * max(float(others.std()) if n > 1 else 1.0, _LEAST)
    logits = similarity / width
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)
