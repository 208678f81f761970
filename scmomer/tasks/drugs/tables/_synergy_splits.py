"""Splits of a table of synergy: pairs of drugs, drugs or lines that training has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from scmomer.data import warn
from scmomer.tasks.drugs.tables._splits import NFolds, divide, hold_out
from scmomer.tasks.drugs.tables._synergy_table import SynergyTable

SynergySplit = Literal["given", "pairs", "drugs", "lines"]
"""What is left out: the given folds, pairs of drugs, drugs, cell lines."""


@dataclass(frozen=True)
class SynergyFold:
    """Rows of a table of synergy for training, validation and test; no row is in two."""

    train: np.ndarray
    """int ``(n_train,)``"""
    validation: np.ndarray
    """int ``(n_validation,)``"""
    test: np.ndarray
    """int ``(n_test,)``"""


def synergy_folds(
    table: SynergyTable,
    split: SynergySplit = "given",
    *,
    n_folds: NFolds = 5,
    test_share: float | None = None,
    validation_share: float = 0.1,
    seed: int = 0,
) -> Iterator[SynergyFold]:
    """Split rows into training, validation and test.

    Parameters
    ----------
    table
        From :func:`read_synergy`, with drugs of one molecule merged by its `groups`.
    split
        ``"given"``: each fold of the table is the test once, and the next fold is validation (as
        DeepSynergy: 60, 20 and 20 % of five folds); with two folds validation is cut from pairs.
        ``"pairs"``: no pair of drugs is in two parts, in whatever line. ``"drugs"``: all rows in
        which a held-out drug takes part are the test, so that a row is tested up to twice.
        ``"lines"``: no cell line is in two parts.
    n_folds, test_share, validation_share, seed
        As in :func:`folds`; only `seed` and (with two folds) `validation_share` count for
        ``"given"``.

    Returns
    -------
    Iterator of SynergyFold
        One fold at a time.

    Raises
    ------
    ValueError
        If an option is unknown or out of range, there are no folds or too few of what is left out,
        or a part has no rows.

    Examples
    --------
    >>> for fold in synergy_folds(table, "drugs"):
    ...     model = fit(table.value[fold.train])
    """
    if split not in get_args(SynergySplit):
        msg = f"Expected split= one of {list(get_args(SynergySplit))}, found {split!r}. Pass one."
        raise ValueError(msg)
    if split == "given":
        return _given(table, validation_share, seed)
    units = {
        "pairs": (table.pair[:, None], "pairs of drugs"),
        "drugs": (np.stack([table.drug_a, table.drug_b], axis=1), "drugs"),
        "lines": (table.line[:, None], "cell lines"),
    }
    unit, what = units[split]
    codes, at = np.unique(unit, return_inverse=True)
    at = at.reshape(unit.shape)  # (n, 1 or 2)
    parts = divide(len(codes), n_folds, test_share, validation_share, what, seed)
    return (
        _checked(np.any(test[at], axis=1), np.any(validation[at], axis=1), split, validation_share)
        for test, validation in parts
    )


def _given(table: SynergyTable, validation_share: float, seed: int) -> Iterator[SynergyFold]:
    if table.fold is None:
        msg = (
            "Expected folds in the table for split='given', found none. Add a column 'fold', pass "
            "fold_key= to read_synergy, or pass split='pairs'."
        )
        raise ValueError(msg)
    names = np.unique(table.fold)
    if len(names) < 2:
        msg = "Expected at least two folds for split='given', found one. Pass split='pairs'."
        raise ValueError(msg)
    first = np.full(table.pair.max() + 1, -1)
    first[table.pair] = table.fold
    if n := len(np.unique(table.pair[first[table.pair] != table.fold])):
        warn(f"{n} pairs of drugs are in several of the given folds, each in other cell lines.")
    return (_one_given(table, names, i, validation_share, seed) for i in range(len(names)))


def _one_given(
    table: SynergyTable, names: np.ndarray, i: int, share: float, seed: int
) -> SynergyFold:
    test = table.fold == names[i]
    if len(names) > 2:
        validation = table.fold == names[(i + 1) % len(names)]
    else:
        pairs, at = np.unique(table.pair, return_inverse=True)
        rest = np.bincount(at[~test], minlength=len(pairs)) > 0
        validation = hold_out(rest, share, (seed, i))[at]
    return _checked(test, validation, "given", share)


def _checked(
    test: np.ndarray, validation: np.ndarray, split: SynergySplit, share: float
) -> SynergyFold:
    """Return rows of each part; a row of the test is never validated or trained on."""
    parts = (~test & ~validation, validation & ~test, test)
    train, valid, tested = (np.flatnonzero(part) for part in parts)
    if not len(train) or not len(tested) or (share > 0 and not len(valid)):
        msg = (
            f"Expected rows for training, validation and test in each fold of split={split!r}, "
            f"found {len(train)}, {len(valid)} and {len(tested)}. Pass another n_folds=, a larger "
            "validation_share= or another split=."
        )
        raise ValueError(msg)
    return SynergyFold(train, valid, tested)
