"""Recovery of marker features by predicted profiles."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scmomer.metrics._checks import check_pair
from scmomer.metrics._correlation import spearman_columns


def marker_recovery(
    true_scores: pd.DataFrame | np.ndarray,
    predicted_scores: pd.DataFrame | np.ndarray,
    *,
    k: int = 100,
) -> dict[str, float]:
    r"""Agreement of differential scores of groups, such as log fold changes, across features.

    With :math:`T_g` and :math:`\hat{T}_g` the :math:`k` features with the highest true and
    predicted scores in group :math:`g` of :math:`G`, and true :math:`y_g` and predicted :math:`x_g`
    scores,

    .. math::

        \mathrm{precision} = \frac{1}{G} \sum_g \frac{|T_g \cap \hat{T}_g|}{k}, \qquad
        \mathrm{spearman} = \frac{1}{G} \sum_g \mathrm{corr}(\mathrm{rank}(y_g),
        \mathrm{rank}(x_g)).

    Features tied for the last of the :math:`k` places share them evenly, so that the order of the
    features does not matter.

    Parameters
    ----------
    true_scores
        Differential score of each feature in each group, shape ``(n_groups, n_features)``.
    predicted_scores
        The same for predicted profiles, shape ``(n_groups, n_features)``. Groups and features of
        two data frames are matched by name.
    k
        Number of top features.

    Returns
    -------
    ``"precision_at_k"`` in [0, 1], ``k / n_features`` for a constant or random prediction;
    ``"spearman"`` in [-1, 1], 0 for a constant or random prediction. Groups with constant scores
    count 0 in ``"spearman"``.

    Raises
    ------
    ValueError
        If shapes or names differ, a value is not finite, or there are fewer than ``k`` features.
    """
    if isinstance(true_scores, pd.DataFrame) and isinstance(predicted_scores, pd.DataFrame):
        predicted_scores = _matched(true_scores, predicted_scores)
    names = ("true_scores", "predicted_scores")
    true, predicted = check_pair(np.asarray(true_scores), np.asarray(predicted_scores), names)
    if not 1 <= k <= true.shape[1]:
        msg = f"Expected `k` between 1 and the number of features, {true.shape[1]}, found {k}."
        raise ValueError(msg)
    shared = (_top(true, k) * _top(predicted, k)).sum(axis=1)  # (n_groups,)
    return {
        "precision_at_k": float(shared.mean() / k),
        "spearman": float(spearman_columns(true.T, predicted.T).mean()),
    }


def _matched(true_scores: pd.DataFrame, predicted_scores: pd.DataFrame) -> pd.DataFrame:
    """Return predicted scores with groups and features in the order of the true ones."""
    for name, axis in (("groups (rows)", 0), ("features (columns)", 1)):
        expected, found = true_scores.axes[axis], predicted_scores.axes[axis]
        if not (expected.is_unique and found.is_unique):
            msg = f"Expected unique {name}, found duplicates."
            raise ValueError(msg)
        differing = expected.symmetric_difference(found, sort=False)
        if len(differing):
            msg = (
                f"Expected `predicted_scores` to have the {name} of `true_scores`, found "
                f"{len(differing)} in only one of them, such as {differing[0]!r}. "
                "Subset both to the same."
            )
            raise ValueError(msg)
    return predicted_scores.reindex(index=true_scores.index, columns=true_scores.columns)


def _top(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the share of each feature in the top ``k`` places, ``(n_groups, n_features)``."""
    last = np.partition(scores, -k, axis=1)[:, [-k]]
    above, tied = scores > last, scores == last
    free = k - above.sum(axis=1, keepdims=True)
    return above + tied * free / tied.sum(axis=1, keepdims=True)
