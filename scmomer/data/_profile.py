"""RNA profiles that are not counts, brought to the scale of counts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scmomer.data._counts import canonical, check_values, get_counts, read_matrix
from scmomer.data._messages import assigned, warn

logger = logging.getLogger(__name__)

Profile: TypeAlias = Literal["counts", "normalized", "zscore"]
"""What the values of RNA are."""

_TOTAL: Final = 1e4  # of a cell without counts
_LARGEST_LOG: Final = 25.0  # log2(x + 1) of anything per million is below 20
_LARGEST_NATURAL_LOG: Final = np.log1p(1e6)
_EQUAL: Final = 0.02  # relative deviation of totals that count as equal
_SMALL_COUNT: Final = 10.5  # multiples up to here must be whole: larger ones are whole by chance
_WHOLE: Final = 0.05
_MOST_SMALLEST: Final = 5  # smallest count of a cell
_SAME: Final = 1e-3  # relative difference of units that count as one
_CLEARER: Final = 10.0  # or that are equal compared with those of another scale
_MIN_SPREAD: Final = 1e-3  # of totals, to compare
_MIN_CELLS: Final = 3  # that differ, for their totals to tell the scale
_SHARE: Final = 0.9  # of cells that show that values were counts

# What makes values linear, in the order of preference.
_SCALES: Final[dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    "linear values": lambda values: values,
    "log(1 + x)": np.expm1,
    "log2(1 + x)": lambda values: np.exp2(values) - 1,
}


class Expression(NamedTuple):
    """RNA on the scale of counts."""

    counts: sp.csr_matrix
    """Shape ``(n_obs, n_vars)``, float32, sorted, without stored zeros."""
    has_depth: bool = True
    """Whether totals are those of the counts; otherwise all cells have the same."""


def check_profile(profile: str) -> None:
    """Raise ValueError if there is no such profile."""
    if profile not in get_args(Profile):
        msg = f"Expected profile among {[*get_args(Profile)]}, found {profile!r}."
        raise ValueError(msg)


def get_expression(
    adata: AnnData,
    layer: str | None,
    where: str,
    argument: str | None = "layer",
    profile: Profile = "counts",
    known: np.ndarray | None = None,
    levels: np.ndarray | None = None,
) -> Expression:
    """Return RNA on the scale of counts.

    Parameters
    ----------
    adata, layer, where, argument
        As in :func:`read_counts`.
    profile
        ``"counts"`` are returned as they are. ``"normalized"`` are values in proportion to counts,
        their ``log(1 + x)`` or their ``log2(1 + x)``; which of the three is found from the values.
        ``"zscore"`` are deviations of each gene from its mean; those above 0 become counts by
        their rank in the cell, relative to `levels`.
    known
        Genes that the model has, ``(n_vars,)`` bool; None for all. Others do not contribute to
        ranks and totals.
    levels
        Mean expression of each gene on the scale of counts, ``(n_vars,)``; None: all the same.

    Returns
    -------
    Expression
        Counts, or values like counts.

    Raises
    ------
    KeyError, TypeError
        As :func:`read_counts`.
    ValueError
        If values do not fit the profile.
    """
    check_profile(profile)
    if profile == "counts":
        return Expression(get_counts(adata, layer, where, argument, offer_profile=True))
    values, place = read_values(adata, layer, where, profile, argument)
    known = np.ones(adata.n_vars, bool) if known is None else known
    if profile == "zscore":
        return Expression(_same_totals(_ranks(values, known, levels), known), has_depth=False)
    return _from_normalized(values, place, known)


def read_values(
    adata: AnnData, layer: str | None, where: str, profile: Profile, argument: str | None = "layer"
) -> tuple[sp.csr_matrix, str]:
    """Return RNA that is not counts as it is, and its name in messages.

    Arguments and errors are those of :func:`get_expression`; the matrix, ``(n_obs, n_vars)``, is
    canonical and must not be written to.
    """
    matrix, place = read_matrix(adata, layer, where, argument)
    values = sp.csr_matrix(matrix)
    check_values(values, adata, place, profile)
    if profile == "zscore" and values.nnz and not (values.data < 0).any():
        msg = (
            f"Expected z-scores in {place}, found no value below 0. Pass profile='normalized' for "
            "normalized expression, or leave out profile= for counts."
        )
        raise ValueError(msg)
    return canonical(values), place


# -- normalized


def _from_normalized(values: sp.csr_matrix, place: str, known: np.ndarray) -> Expression:
    """Return counts if the values show them, else linear values of a common total."""
    if (values.data == np.rint(values.data)).all():
        logger.info("%s holds whole numbers, which are read as counts.", place)
        return Expression(values)
    largest = float(values.data.max(initial=0))
    names = [*_SCALES] if largest <= _LARGEST_LOG else [next(iter(_SCALES))]
    linear = {name: _with_data(values, _SCALES[name](values.data)) for name in names}
    multiples = {name: _multiples(matrix) for name, matrix in linear.items()}
    best = max(names, key=lambda name: multiples[name].share)
    found = multiples[best]
    if found.share >= _SHARE and found.is_rounded:
        logger.info("%s is read as %s, because all are multiples of one number.", place, best)
        return Expression(_same_totals(linear[best], known), has_depth=False)
    if found.share >= _SHARE:
        logger.info(
            "%s is read as %s: cells are multiples of whole numbers, which are their counts.",
            place,
            best,
        )
        return Expression(canonical(found.counts))
    name, reason = _choose_scale(linear, largest, place)
    logger.info("%s is read as %s, because %s.", place, name, reason)
    return Expression(_same_totals(linear[name], known), has_depth=False)


def _choose_scale(
    linear: Mapping[str, sp.csr_matrix], largest: float, place: str
) -> tuple[str, str]:
    """Return the scale of values that do not show counts, and why."""
    names = [*linear]
    if len(names) == 1:
        return names[0], f"the largest is {largest:.4g}, more than a logarithm can be"
    spread = {name: _spread_of_totals(matrix) for name, matrix in linear.items()}
    best, *others = sorted(names, key=lambda name: spread[name])
    # Cells that hardly differ have about the same total on any scale.
    unclear = min(_EQUAL, max(_CLEARER * spread[best], _MIN_SPREAD))
    if spread[best] <= _EQUAL and spread[others[0]] > unclear and _differ(linear[best]):
        return best, "all cells then have about the same total, and only then"
    if largest > _LARGEST_NATURAL_LOG:
        return names[2], f"the largest is {largest:.4g}, more than log(1 + counts per million)"
    warn(
        f"{place} is read as {names[1]}, but neither that nor {names[2]} alone gives whole numbers "
        f"or equal totals of {_MIN_CELLS} or more different cells. If it holds {names[2]}, run "
        f"`{assigned(place)} = {place} * np.log(2)`. Linear values are recognized if the largest is "
        f"above {_LARGEST_LOG:g}."
    )
    return names[1], "scanpy.pp.log1p gives it"


class _Multiples(NamedTuple):
    """Cells divided by their smallest values."""

    counts: sp.csr_matrix
    """The multiples, times 2 to 5 in cells that are whole only then; rounded in cells in which all
    are about whole. Shape ``(n_obs, n_vars)``."""
    share: float = 1.0
    """Of cells whose small multiples are all whole, among those that have some above 1."""
    is_rounded: bool = False
    """Whether cells are multiples of the same number, which is not 1."""


def _multiples(linear: sp.csr_matrix) -> _Multiples:
    """Divide each cell by its smallest value; counts are whole then, because one of them is 1."""
    lengths = np.diff(linear.indptr)
    starts, lengths = linear.indptr[:-1][lengths > 0], lengths[lengths > 0]
    if not len(starts):
        return _Multiples(linear)
    data = linear.data.astype(np.float64)
    least = np.minimum.reduceat(data, starts)
    multiple = data / np.repeat(least, lengths)
    small = multiple <= _SMALL_COUNT

    def are_whole(values: np.ndarray) -> np.ndarray:
        """Return which cells have whole numbers where multiples are small."""
        return np.logical_and.reduceat(
            (np.abs(values - np.rint(values)) <= _WHOLE) | ~small, starts
        )

    whole = are_whole(multiple)
    some = np.logical_or.reduceat(small & (multiple > 1 + _WHOLE), starts)
    share = float(whole[some].mean()) if some.any() else 0.0
    smallest = np.ones(len(starts))  # count of each cell
    for count in range(2, _MOST_SMALLEST + 1):
        found = ~whole & are_whole(count * multiple)
        smallest[found] = count
        whole |= found
    counts = multiple * np.repeat(smallest, lengths)
    near = np.logical_and.reduceat(np.abs(counts - np.rint(counts)) <= _WHOLE, starts)
    counts = np.where(np.repeat(near, lengths), np.rint(counts), counts)
    unit = least / smallest
    common = float(np.median(unit))
    same = np.mean(np.abs(unit - common) <= _SAME * common) >= _SHARE
    is_rounded = bool(same and abs(common - 1) > _SAME)
    return _Multiples(_with_data(linear, counts), share, is_rounded)


def _differ(values: sp.csr_matrix) -> bool:
    """Return whether there are enough different cells to compare their totals."""
    weights = np.random.default_rng(0).random(values.shape[1])
    sums = (values @ weights)[np.diff(values.indptr) > 0]
    return len(np.unique(sums)) >= _MIN_CELLS


def _spread_of_totals(linear: sp.csr_matrix) -> float:
    """Return the standard deviation of totals relative to their mean, without empty cells."""
    totals = np.asarray(linear.sum(1, dtype=np.float64)).ravel()
    totals = totals[totals > 0]
    return float(totals.std() / totals.mean()) if len(totals) > 1 else np.inf


# -- z-scores


def _ranks(values: sp.csr_matrix, known: np.ndarray, levels: np.ndarray | None) -> sp.csr_matrix:
    """Return what exponentially distributed counts have at the rank of each value above 0."""
    cells = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))
    above = (values.data > 0) & known[values.indices]
    cells, genes = cells[above], values.indices[above]
    n = np.bincount(cells, minlength=values.shape[0])
    rank = pd.Series(values.data[above]).groupby(cells).rank().to_numpy()  # 1 to n, ties shared
    counts = -np.log1p(-(rank - 0.5) / n[cells])  # of mean 1
    if levels is not None:
        counts *= levels[genes]
    return sp.csr_matrix((counts, (cells, genes)), shape=values.shape)


# -- both


def _same_totals(values: sp.csr_matrix, known: np.ndarray) -> sp.csr_matrix:
    """Scale each cell so that its genes of the model have a common total."""
    totals = np.asarray(values @ known.astype(np.float64)).ravel()
    scale = np.divide(_TOTAL, totals, out=np.zeros_like(totals), where=totals > 0)
    return canonical(sp.csr_matrix(sp.diags(scale) @ values))


def _with_data(matrix: sp.csr_matrix, data: np.ndarray) -> sp.csr_matrix:
    return sp.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)
