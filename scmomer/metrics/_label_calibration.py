"""Calibration of labels: are cells labeled with probability p right in a share p of cases?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from scmomer.metrics._checks import check_matrix, check_per_cell

_TOLERANCE = 1e-3  # of the sum of a cell's probabilities


def label_calibration(
    truth: ArrayLike, probability: np.ndarray, classes: ArrayLike, *, n_bins: int = 10
) -> dict[str, float]:
    r"""Expected calibration error and Brier score of predicted labels.

    With the largest probability :math:`c_i` of cell :math:`i`, its *confidence*, in bins of equal
    width, mean confidence :math:`\bar{c}_b` and share of right labels :math:`a_b` of bin :math:`b`,

    .. math::

        \mathrm{ECE} = \sum_b \frac{n_b}{n} |a_b - \bar{c}_b|, \qquad
        \mathrm{Brier} = \frac{1}{n} \sum_{ik} (p_{ik} - [y_i = k])^2.

    Parameters
    ----------
    truth
        True label of each cell, shape ``(n_cells,)``. A label that is no class is predicted wrongly
        by definition.
    probability
        Probability of each class, shape ``(n_cells, n_classes)``, as the values of
        :meth:`scmomer.CellTypeClassifier.predict_proba`. Rows sum to 1.
    classes
        Names of the columns, shape ``(n_classes,)``.
    n_bins
        Number of bins of the confidence, from 0 to 1.

    Returns
    -------
    ``"expected_calibration_error"`` in [0, 1], ``"overconfidence"`` (mean confidence minus
    accuracy) in [-1, 1], both 0 if calibrated, and ``"brier"`` in [0, 2], 0 if all labels are right
    with certainty.

    Raises
    ------
    ValueError
        If shapes do not fit, rows are not probabilities, or ``n_bins`` is below 1.

    Notes
    -----
    Guo et al., On calibration of modern neural networks, ICML 2017.

    Examples
    --------
    >>> types = classifier.predict_proba(query)
    >>> label_calibration(query.obs["cell_type"], types.to_numpy(), types.columns)
    """
    p = np.asarray(check_matrix("probability", probability), dtype=np.float64)
    y = check_per_cell("truth", np.asarray(truth), p.shape[0])
    names = np.asarray(classes)
    if names.shape != (p.shape[1],):
        msg = (
            f"Expected `classes` to name the {p.shape[1]} columns of `probability`, found shape "
            f"{names.shape}. Pass one name per column."
        )
        raise ValueError(msg)
    sums = p.sum(1)
    if p.min() < 0 or np.abs(sums - 1).max() > _TOLERANCE:
        msg = (
            f"Expected rows of `probability` at least 0 with sum 1, found values from {p.min():g} "
            f"and sums from {sums.min():g} to {sums.max():g}. Pass probabilities, not scores."
        )
        raise ValueError(msg)
    if n_bins < 1:
        msg = f"Expected `n_bins` to be at least 1, found {n_bins}. Pass for example 10."
        raise ValueError(msg)
    confidence = np.minimum(p.max(1), 1.0)
    hits = y[:, None] == names  # (n_cells, n_classes)
    right = hits[np.arange(len(p)), p.argmax(1)]
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gap = np.bincount(bins, right - confidence, minlength=n_bins)
    return {
        "expected_calibration_error": float(np.abs(gap).sum() / len(p)),
        "overconfidence": float((confidence - right).mean()),
        "brier": float(np.square(p - hits).sum(1).mean()),
    }
