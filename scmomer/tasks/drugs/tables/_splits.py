"""Splits of a matrix of responses: pairs, lines, drugs or tissues that training has not seen."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from scmomer.data import examples

logger = logging.getLogger(__name__)

ResponseSplit = Literal["lpo", "lco", "ldo", "lto"]
"""What is left out: pairs, cell lines, drugs, tissues."""
NFolds = int | Literal["each"] | None

_UNITS = {"lpo": "measured pairs", "lco": "cell lines", "ldo": "drugs", "lto": "tissues"}
_MIN_UNITS = 3  # one each for training, validation and test


@dataclass(frozen=True)
class Fold:
    """Measured pairs for training, validation and test; no pair is in two."""

    train: np.ndarray
    """bool ``(n_lines, n_drugs)``"""
    validation: np.ndarray
    """bool ``(n_lines, n_drugs)``"""
    test: np.ndarray
    """bool ``(n_lines, n_drugs)``"""


def folds(
    values: np.ndarray,
    split: ResponseSplit,
    *,
    n_folds: NFolds = 5,
    test_share: float | None = None,
    validation_share: float = 0.1,
    groups: Sequence[object] | np.ndarray | None = None,
    tissues: Sequence[object] | np.ndarray | None = None,
    seed: int = 0,
) -> Iterator[Fold]:
    """Split measured pairs into training, validation and test.

    Parameters
    ----------
    values
        Responses, float ``(n_lines, n_drugs)``, NaN where not measured.
    split
        What a test pair has that is in no training or validation pair: ``"lpo"`` the pair,
        ``"lco"`` the cell line, ``"ldo"`` the drug, ``"lto"`` the tissue. Validation pairs have it
        in no training pair.
    n_folds
        Parts into which pairs, lines, drugs or tissues are divided at random; each is the test of
        one fold. ``"each"`` or None: each line, drug or tissue is a part.
    test_share
        One fold with this share of pairs, lines, drugs or tissues as test, in place of `n_folds`.
    validation_share
        Share for validation of the pairs, lines, drugs or tissues that are not the test, at least
        one; 0 for none.
    groups
        For each drug, which molecule it is, ``(n_drugs,)``. Drugs of one molecule stay together.
    tissues
        Tissue of each line, ``(n_lines,)``, for ``"lto"``. Lines without one are in no fold.
    seed
        Seed. Folds depend on it and on which pairs are measured, not on values.

    Returns
    -------
    Iterator of Fold
        One fold at a time.

    Raises
    ------
    ValueError
        If an option is unknown or out of range, there are too few lines, drugs or tissues, or
        ``"lto"`` has no tissues.

    Notes
    -----
    Names of the splits are those of DrEval (leave pairs, cell lines, drugs, tissues out).

    Examples
    --------
    >>> for fold in folds(table.values, "lco", n_folds=5):
    ...     model = fit(np.where(fold.train, table.values, np.nan))
    """
    if split not in get_args(ResponseSplit):
        msg = f"Expected split= one of {list(get_args(ResponseSplit))}, found {split!r}. Pass one."
        raise ValueError(msg)
    if values.ndim != 2:
        msg = f"Expected values of shape (n_lines, n_drugs), found {values.shape}. Pass a matrix."
        raise ValueError(msg)
    unit = _units(values, split, groups, tissues)
    units = np.unique(unit[unit >= 0])
    if split == "lpo" and test_share is None and n_folds in ("each", None):
        msg = (
            f"Expected a number of folds for split='lpo', found n_folds={n_folds!r} for "
            f"{len(units)} pairs. Pass n_folds=5 or test_share=0.05."
        )
        raise ValueError(msg)
    parts = divide(len(units), n_folds, test_share, validation_share, _UNITS[split], seed)
    return _masks(unit, units, parts)


def _masks(
    unit: np.ndarray, units: np.ndarray, parts: Iterator[tuple[np.ndarray, np.ndarray]]
) -> Iterator[Fold]:
    at = np.searchsorted(units, unit)  # pairs in no fold have unit -1, and are masked below
    at[unit < 0] = 0
    for test, validation in parts:
        of_test, of_validation = ((m[at]) & (unit >= 0) for m in (test, validation))
        yield Fold((unit >= 0) & ~of_test & ~of_validation, of_validation, of_test)


def divide(
    n: int,
    n_folds: NFolds,
    test_share: float | None,
    validation_share: float,
    what: str,
    seed: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return which of `n` units are test and validation in each fold, both bool ``(n,)``.

    Raises
    ------
    ValueError
        If there are too few units, or a share or number is out of range.
    """
    part = tested_in(n, n_folds, test_share, what, seed)
    if not 0 <= validation_share < 1:
        msg = f"Expected validation_share= from 0 to below 1, found {validation_share}. Pass 0.1."
        raise ValueError(msg)
    return (
        (part == i, hold_out(part != i, validation_share, (seed, i)))
        for i in range(1 if test_share is not None else part.max() + 1)
    )


def tested_in(
    n: int, n_folds: NFolds, test_share: float | None, what: str, seed: int
) -> np.ndarray:
    """Return the fold in which each of `n` units is tested, ``(n,)``; 1 for none by a share.

    Raises
    ------
    ValueError
        If there are too few units, or a share or number is out of range.
    """
    rng = np.random.default_rng(seed)
    if n < _MIN_UNITS:
        msg = (
            f"Expected at least {_MIN_UNITS} {what}, for training, validation and test, found {n}. "
            "Pass more data or another split=."
        )
        raise ValueError(msg)
    if test_share is not None:
        n_test = max(round(test_share * n), 1)
        if not 0 < test_share < 1 or n_test > n - 2:
            msg = (
                f"Expected test_share= between 0 and 1 that leaves 2 of {n} {what}, found "
                f"{test_share}. Pass a smaller one such as 0.1."
            )
            raise ValueError(msg)
        part = np.ones(n, int)
        part[rng.permutation(n)[:n_test]] = 0
        return part
    k = n if n_folds in ("each", None) else n_folds
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 2:
        msg = f"Expected n_folds= of at least 2 or 'each', found {n_folds!r}. Pass 5."
        raise ValueError(msg)
    if k > n or n - -(-n // k) < 2:  # the largest part must leave two
        msg = f"Expected at least n_folds={k} {what} and two beside a test, found {n}. "
        msg += f"Pass n_folds={min(n, 5)}, more data, or another split=."
        raise ValueError(msg)
    return rng.permutation(np.arange(n) % k)


def hold_out(rest: np.ndarray, share: float, seed: Sequence[int]) -> np.ndarray:
    """Return a random `share` of the True entries of `rest`, at least one and not all."""
    chosen = np.zeros(len(rest), bool)
    if share > 0:
        at = np.flatnonzero(rest)
        n = min(max(round(share * len(at)), 1), len(at) - 1)
        chosen[np.random.default_rng(seed).permutation(at)[:n]] = True
    return chosen


def _units(
    values: np.ndarray,
    split: ResponseSplit,
    groups: Sequence[object] | np.ndarray | None,
    tissues: Sequence[object] | np.ndarray | None,
) -> np.ndarray:
    """Return what is left out together, int ``(n_lines, n_drugs)``; -1 for pairs in no fold."""
    n_lines, n_drugs = values.shape
    line = np.arange(n_lines)[:, None]
    drug = np.arange(n_drugs) if groups is None else _codes(groups, n_drugs, "groups", "drug")
    if (drug < 0).any():
        msg = f"Expected a group for each drug in groups=, found {(drug < 0).sum()} missing. "
        msg += "Pass a value for each."
        raise ValueError(msg)
    measured = np.isfinite(values)
    if split == "lpo":
        unit = line * n_drugs + drug
    elif split == "lco":
        unit = np.broadcast_to(line, values.shape)
    elif split == "ldo":
        unit = np.broadcast_to(drug, values.shape)
    else:
        if tissues is None:
            msg = (
                "Expected the tissue of each cell line for split='lto', found none. Pass tissues=, "
                "or read the table with tissue_key=."
            )
            raise ValueError(msg)
        tissue = _codes(tissues, n_lines, "tissues", "cell line")[:, None]
        unit = np.broadcast_to(tissue, values.shape)
        if n := int(((tissue < 0) & measured.any(axis=1, keepdims=True)).sum()):
            logger.info("%d cell lines without a tissue are in no fold.", n)
    return np.where(measured, unit, -1)


def _codes(labels: Sequence[object] | np.ndarray, n: int, argument: str, of: str) -> np.ndarray:
    array = np.empty(len(labels), dtype=object)
    array[:] = list(labels)
    if len(array) != n:
        msg = f"Expected {argument}= to have one value for each {of}, {n}, found {len(array)}."
        msg += f" Pass one for each {of} in the order of the table."
        raise ValueError(msg)
    return pd.factorize(array)[0]


def check_disjoint(train: pd.MultiIndex, test: pd.MultiIndex) -> None:
    """Raise if a test pair occurs in training.

    Parameters
    ----------
    train, test
        Pairs by name, as `pairs` of :class:`ResponseTable` or :class:`SynergyTable`.

    Raises
    ------
    ValueError
        If a pair is in both; names how many and the first.
    """
    both = test.isin(train)
    if both.any():
        which = [" + ".join(map(str, pair)) for pair in test[both][:3]]
        msg = (
            f"Expected test pairs that are not in the training table, found {both.sum()} of "
            f"{len(test)} in both: {examples(which)}. Drop them from the test table, or from "
            "training before you fit."
        )
        raise ValueError(msg)
