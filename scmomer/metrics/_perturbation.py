"""How well changes by perturbations are predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike

from scmomer._checks import whole_number
from scmomer.metrics._checks import check_matrix, check_pair
from scmomer.metrics._correlation import pearson_columns

_TOP: Final = (20, 100)


def perturbation(
    predicted: ArrayLike,
    perturbed: ArrayLike,
    control: ArrayLike,
    *,
    targets: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    reference: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    halves: tuple[ArrayLike, ArrayLike] | None = None,
    top: Sequence[int] = _TOP,
) -> pd.DataFrame:
    r"""Score predicted changes of pseudobulks, perturbation by perturbation.

    Parameters
    ----------
    predicted
        Predicted changes about the control, shape ``(n_perturbations, n_genes)``.
    perturbed
        Mean profiles of perturbed cells, same shape.
    control
        Mean profile of control cells, shape ``(n_genes,)`` or ``(n_perturbations, n_genes)``. Take
        it from other control cells than those of training: with the same ones, the noise of their
        mean is in both changes, and is rewarded.
    targets
        Genes that each perturbation targets itself, which no score counts, bool
        ``(n_perturbations, n_genes)``; None: none, as for perturbations that are no genes.
    names, groups
        Of perturbations, for the table; ranks are within groups.
    reference
        Mean profile of the training perturbations, as `control`, for ``pearson_systema``.
    variance
        Squared standard errors of the measured changes, of the shape of `predicted`, for the
        weights of ``weighted_mse``; None: weights from changes alone.
    halves
        Measured changes by two halves of cells that share neither perturbed nor control cells, for
        the ceiling.
    top
        Numbers of genes with the largest measured change, for scores on these alone.

    Returns
    -------
    pandas.DataFrame
        Columns ``perturbation``, ``group``, ``metric``, ``value``. Metrics, with ``_top20`` and so
        on for genes with the largest measured change:

        - ``pearson``: correlation with the measured change; 0 for a constant prediction;
        - ``mse``: mean squared error; ``weighted_mse``: weighted by the square of the measured
          change relative to its standard error, scaled to 0 ... 1 over genes;
        - ``direction_top20``: share of genes with the right sign, one half where 0 is predicted;
        - ``centroid``: share of the other perturbations whose measured profile is further from the
          predicted one than the right one is; 0.5 by chance, NaN for a single perturbation;
        - ``pearson_permuted``: mean of ``pearson`` of predictions of the other perturbations. A
          prediction that knows its target is better than that;
        - ``pearson_systema``: correlation of predicted and measured profiles about `reference`;
        - ``ceiling``: what a perfect prediction reaches, :math:`\sqrt{2r/(1+r)}` of the
          correlation r of `halves` (0 below 0).

    Raises
    ------
    TypeError
        If values are an AnnData or sparse.
    ValueError
        If shapes differ, a value is not finite, or tables have rows or genes in another order.

    Notes
    -----
    Rank and reference: Vinas Torne et al. (2025), *Systema*, Nature Biotechnology; weighted error:
    Mejia et al. (2025), arXiv 2506.22641. Distances of two profiles leave out the targets of both.

    Examples
    --------
    >>> table = perturbation([[1.0, 0.0, 2.0]], [[2.0, 1.0, 4.0]], [1.0, 1.0, 1.0], top=[2])
    >>> float(table.set_index("metric")["value"]["direction_top2"])
    1.0
    """
    _check_tables({"predicted": predicted, "perturbed": perturbed, "control": control})
    top = [whole_number("each of top", n) for n in ([top] if np.ndim(top) == 0 else top)]
    given, truth = np.asarray(predicted, np.float64), np.asarray(perturbed, np.float64)
    x, y = map(np.asarray, check_pair(given, truth, ("predicted", "perturbed")))
    base = _profiles("control", control, x.shape)
    own = _own(targets, x.shape)
    change = y - base
    scores = dict(_of_changes(x, change, own, top))
    scores["weighted_mse"] = _weighted_mse(x, change, own, variance)
    label = np.asarray([""] * len(x) if groups is None else list(groups), dtype=object)
    listed = np.asarray([str(i) for i in range(len(x))] if names is None else list(names))
    for what, values in (("names", listed), ("groups", label)):
        if len(values) != len(x):
            msg = f"Expected one of `{what}` for each of {len(x)} rows, found {len(values)}."
            raise ValueError(msg)
    scores["centroid"] = _by_group(label, lambda rows: _centroid(x[rows], change[rows], own[rows]))
    scores["pearson_permuted"] = _by_group(
        label, lambda rows: _permuted(x[rows], change[rows], own[rows])
    )
    if reference is not None:
        about = _profiles("reference", reference, x.shape)
        scores["pearson_systema"] = _pearson(x + base - about, y - about, ~own)
    if halves is not None:
        scores |= dict(_ceilings(halves, change, own, top))
    table = pd.DataFrame({"perturbation": listed, "group": label, **scores})
    return table.melt(["perturbation", "group"], var_name="metric", value_name="value")


def _check_tables(given: dict[str, object]) -> None:
    """Raise if values are not arrays, or tables name their rows or genes in another order."""
    for name, values in given.items():
        if sp.issparse(values) or hasattr(values, "obs_names"):
            layer = "'change'" if name == "predicted" else ""
            remedy = f"{name}.toarray()" if sp.issparse(values) else f"{name}.to_df({layer})"
            msg = f"Expected `{name}` as an array, found {type(values).__name__}. Pass {remedy}."
            raise TypeError(msg)
    tables = {name: v for name, v in given.items() if isinstance(v, pd.DataFrame)}
    for (one, a), (other, b) in combinations(tables.items(), 2):
        for axis in ("columns", "index"):
            mine, theirs = getattr(a, axis), getattr(b, axis)
            unnamed = isinstance(mine, pd.RangeIndex) or isinstance(theirs, pd.RangeIndex)
            if len(mine) != len(theirs) or (unnamed and set(mine) != set(theirs)):
                continue  # of other shape, or without names
            if not mine.equals(theirs):
                msg = (
                    f"Expected `{one}` and `{other}` with the same {axis} in the same order, found "
                    f"{list(mine[:3])} and {list(theirs[:3])}. Reindex them: "
                    f"`{other} = {other}.reindex({axis}={one}.{axis})`."
                )
                raise ValueError(msg)


def _profiles(name: str, values: ArrayLike, shape: tuple[int, int]) -> np.ndarray:
    """Return one profile, or one for each row, as ``(n_perturbations, n_genes)``."""
    array = np.asarray(values, np.float64)
    if array.shape not in {shape, shape[1:]}:
        msg = (
            f"Expected `{name}` of shape {shape[1:]} or {shape}, found {array.shape}. Pass one mean "
            "profile, or one for each perturbation."
        )
        raise ValueError(msg)
    return np.asarray(check_matrix(name, np.broadcast_to(array, shape)))


def _own(targets: ArrayLike | None, shape: tuple[int, int]) -> np.ndarray:
    if targets is None:
        return np.zeros(shape, bool)
    own = np.asarray(targets)
    if own.shape != shape or own.dtype != bool:
        msg = (
            f"Expected `targets` to be bool of shape {shape}, found {own.dtype} of shape "
            f"{own.shape}. Pass True for genes that a perturbation targets."
        )
        raise ValueError(msg)
    if own.all(axis=1).any():
        msg = "Expected genes beside the targets of a perturbation, found none. Pass more genes."
        raise ValueError(msg)
    return own


def _top(change: np.ndarray, own: np.ndarray, n: int) -> np.ndarray:
    """Return the genes with the largest change of each row, without targets, bool."""
    size = np.where(own, -1.0, np.abs(change))
    order = np.argsort(-size, axis=1, kind="stable")[:, :n]
    chosen = np.zeros(change.shape, bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen & ~own


def _of_changes(
    x: np.ndarray, y: np.ndarray, own: np.ndarray, top: Sequence[int]
) -> Iterator[tuple[str, np.ndarray]]:
    kept = {"": ~own, **{f"_top{n}": _top(y, own, n) for n in top}}
    for name, genes in kept.items():
        yield f"pearson{name}", _pearson(x, y, genes)
        yield f"mse{name}", np.square(x - y).mean(axis=1, where=genes)
        if name:
            right = (np.sign(x) * np.sign(y) + 1) / 2
            yield f"direction{name}", right.mean(axis=1, where=genes)


def _pearson(x: np.ndarray, y: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the correlation of each row over some genes; 0 if constant, ``(n_rows,)``."""
    each = zip(x, y, kept, strict=True)
    return np.array([pearson_columns(a[k, None], b[k, None])[0] for a, b, k in each])


def _weighted_mse(
    x: np.ndarray, y: np.ndarray, own: np.ndarray, variance: ArrayLike | None
) -> np.ndarray:
    if variance is None:
        size = np.abs(y)
    else:
        squared = _profiles("variance", variance, x.shape)
        if (squared < 0).any():
            msg = "Expected `variance` of at least 0, found less. Pass squared standard errors."
            raise ValueError(msg)
        spread = np.sqrt(squared)
        size = np.abs(y) / np.maximum(spread, np.where(spread > 0, spread, np.inf).min(initial=1.0))
    lowest = size.min(axis=1, where=~own, initial=np.inf, keepdims=True)
    highest = size.max(axis=1, where=~own, initial=0.0, keepdims=True)
    scale = np.maximum(highest - lowest, np.finfo(float).tiny)
    weights = np.where(own, 0.0, np.square((size - lowest) / scale))
    total = weights.sum(axis=1)
    flat = total == 0  # all changes are equal
    weights[flat] = ~own[flat]
    return (weights * np.square(x - y)).sum(axis=1) / weights.sum(axis=1)


def _by_group(groups: np.ndarray, score: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return a score of rows within each group, ``(n_rows,)``."""
    found = np.full(len(groups), np.nan)
    for group in set(groups.tolist()):
        rows = np.flatnonzero(groups == group)
        found[rows] = score(rows)
    return found


def _centroid(x: np.ndarray, y: np.ndarray, own: np.ndarray) -> np.ndarray:
    n = len(x)
    if n < 2:
        return np.full(n, np.nan)
    found = np.empty(n)
    for i in range(n):  # rows x rows x genes at once may be too much
        kept = ~(own[i] | own)
        distance = np.square(x[i] - y).sum(axis=1, where=kept)
        right = (np.square(x[i] - y[i]) * kept).sum(axis=1)
        further = (distance > right) + 0.5 * (distance == right)
        found[i] = np.delete(further, i).mean()
    return found


def _permuted(x: np.ndarray, y: np.ndarray, own: np.ndarray) -> np.ndarray:
    n = len(x)
    if n < 2:
        return np.full(n, np.nan)
    others = [np.delete(np.arange(n), i) for i in range(n)]
    each = zip(others, y, ~own, strict=True)
    return np.array(
        [
            pearson_columns(x[o][:, k].T, np.broadcast_to(t[k, None], (k.sum(), n - 1))).mean()
            for o, t, k in each
        ]
    )


def _ceilings(
    halves: tuple[ArrayLike, ArrayLike], change: np.ndarray, own: np.ndarray, top: Sequence[int]
) -> Iterator[tuple[str, np.ndarray]]:
    if not isinstance(halves, tuple | list) or len(halves) != 2:
        msg = (
            f"Expected `halves` as a pair of arrays, found {type(halves).__name__} of "
            f"{len(halves)}. Pass (changes of one half, changes of the other)."
        )
        raise ValueError(msg)
    one, other = (_profiles("halves", half, change.shape) for half in halves)
    kept = {"": ~own, **{f"_top{n}": _top(change, own, n) for n in top}}
    for name, genes in kept.items():
        r = np.maximum(_pearson(one, other, genes), 0)
        yield f"ceiling{name}", np.sqrt(2 * r / (1 + r))
