"""Agreement of the types of paired cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from scmomer.metrics._checks import check_per_cell


def pairing_agreement(first: ArrayLike, second: ArrayLike) -> dict[str, float]:
    r"""Agreement of the labels of paired cells, and its expectation by chance.

    With labels :math:`a_i` and :math:`b_i` of the cells of pair :math:`i` of :math:`n`, shares
    :math:`p_l` and :math:`q_l` of label :math:`l` on the two sides, and the :math:`L` labels of
    `first`,

    .. math::

        \mathrm{agreement} &= \frac{1}{n} \sum_i [a_i = b_i], &
        \mathrm{chance} &= \sum_l p_l q_l, \\
        \mathrm{kappa} &= \frac{\mathrm{agreement} - \mathrm{chance}}{1 - \mathrm{chance}}, &
        \mathrm{macro} &= \frac{1}{L} \sum_l \operatorname{mean}_{i: a_i = l} [b_i = l].

    Parameters
    ----------
    first, second
        Labels of the two cells of each pair, shape ``(n_pairs,)``. Pairs with a missing label
        (NaN, None) are left out.

    Returns
    -------
    ``"agreement"``, ``"chance"`` and ``"macro"`` in [0, 1]; ``"kappa"`` (Cohen's) at most 1, and 0
    for random pairs of these cells. If all cells have the same label, kappa is 0.

    Raises
    ------
    ValueError
        If there is not one label per pair on both sides, or no pair has two labels.
    """
    first = np.asarray(first, dtype=object)
    if first.ndim != 1:
        msg = f"Expected `first` to have one label per pair, shape (n_pairs,), found {first.shape}."
        raise ValueError(msg)
    second = check_per_cell("second", np.asarray(second, dtype=object), len(first))
    known = ~(pd.isna(first) | pd.isna(second))
    n_pairs = int(known.sum())
    if n_pairs == 0:
        msg = f"None of {len(first)} pairs has a label on both sides."
        raise ValueError(msg)
    codes, names = pd.factorize(np.concatenate([first[known], second[known]]))
    a, b = codes[:n_pairs], codes[n_pairs:]
    n_first, n_second, n_same = (
        np.bincount(values, minlength=len(names)) for values in (a, b, a[a == b])
    )
    agreement = float((a == b).mean())
    chance = float(n_first @ n_second) / n_pairs**2
    present = n_first > 0
    return {
        "agreement": agreement,
        "chance": chance,
        "kappa": (agreement - chance) / (1 - chance) if chance < 1 else 0.0,
        "macro": float((n_same[present] / n_first[present]).mean()),
    }
