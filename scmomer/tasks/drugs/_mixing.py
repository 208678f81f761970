"""How much a network is worth beside a naive prediction, by what was held out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import numpy as np

logger = logging.getLogger(__name__)

WEIGHTS: Final = (0.0, 0.15, 0.3)  # of the network


def network_weight(
    loss: Callable[[float], np.ndarray], folds: list[np.ndarray], what: str
) -> float:
    """Return the weight of the network: that of the smallest loss, if it is clearly below 0's.

    Parameters
    ----------
    loss
        Gives the loss of each held-out line or drug at a weight, ``(n,)``; NaN are left out.
    folds
        Lines or drugs of each fold. Clearly: the mean gain over folds is above its standard error.
    what
        ``"lines"`` or ``"drugs"``, for the log.
    """
    losses = np.array([[np.nanmean(loss(w)[fold]) for fold in folds] for w in WEIGHTS])
    best = int(losses.mean(1).argmin())
    gain = losses[0] - losses[best]
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    weight = WEIGHTS[best] if gain.mean() > error else 0.0
    text = f"the network counts {weight:.0%}" if weight else "the naive prediction is used"
    logger.info("New %s: %s, by held-out %s of the training data.", what, text, what)
    return weight


def group_folds(
    groups: np.ndarray, n_folds: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Return the positions in each fold; a group is in one fold."""
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    order = generator.permutation(codes.max() + 1)
    n_folds = min(n_folds, len(order))
    return [np.flatnonzero(np.isin(codes, part)) for part in np.array_split(order, n_folds)]
