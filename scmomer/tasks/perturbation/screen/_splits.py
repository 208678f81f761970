"""Splits of a screen into training and test perturbations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from scmomer.tasks.perturbation.screen._status import status

Parts = Sequence[tuple[str, ...]]
_TRAIN_GENES: Final = 0.75  # as GEARS: share of genes, and of combinations of two of these


class ScreenSplit(NamedTuple):
    """Rows for training and for the test."""

    train: np.ndarray
    """Positions, sorted."""
    test: np.ndarray
    """Positions, sorted; no perturbation is in both in the same group."""
    name: str = ""
    """What is held out."""


def leave_one_out(parts: Parts) -> Iterator[ScreenSplit]:
    """Yield a split for each single gene: it is out, and so are combinations with it.

    Combinations without it are for training.
    """
    for gene in sorted({p[0] for p in parts if len(p) == 1}):
        test = _rows(parts, lambda p, gene=gene: p == (gene,))  # type: ignore[misc]
        train = _rows(parts, lambda p, gene=gene: gene not in p)  # type: ignore[misc]
        yield ScreenSplit(train, test, gene)


def combinations_out(parts: Parts) -> Iterator[ScreenSplit]:
    """Yield one split: all combinations are out, training has single perturbations alone."""
    yield ScreenSplit(
        _rows(parts, lambda p: len(p) == 1), _rows(parts, lambda p: len(p) > 1), "combinations"
    )


def one_combination_out(parts: Parts) -> Iterator[ScreenSplit]:
    """Yield a split for each combination: it alone is out."""
    for combination in sorted({p for p in parts if len(p) > 1}):
        test = _rows(parts, lambda p, one=combination: p == one)  # type: ignore[misc]
        train = _rows(parts, lambda p, one=combination: p != one)  # type: ignore[misc]
        yield ScreenSplit(train, test, "+".join(combination))


def groups_out(groups: Sequence[str]) -> Iterator[ScreenSplit]:
    """Yield a split for each group, such as a cell type: all its rows are out."""
    labels = np.asarray(groups, dtype=object)
    for group in sorted(set(labels)):
        yield ScreenSplit(
            np.flatnonzero(labels != group), np.flatnonzero(labels == group), str(group)
        )


def simulation_split(
    parts: Parts, *, train_genes: float = _TRAIN_GENES, random_state: int = 0
) -> ScreenSplit:
    """Return GEARS' simulation split: some genes, and all combinations with them, are out.

    Three quarters of the perturbed genes are for training as single perturbations, with three
    quarters of the combinations of two of these. All others are for the test:
    :func:`~scmomer.tasks.perturbation.status` tells unseen singles from combinations with 0, 1 and
    2 seen parts.

    Parameters
    ----------
    parts
        Parts of each row.
    train_genes
        Share of genes, and of combinations of seen genes, for training.
    random_state
        Seed.

    Notes
    -----
    The design of Roohani et al. (2023), *GEARS*, Nature Biotechnology 42, 927-935. Genes are drawn
    from another generator, so the split of a seed is not the same as theirs.
    """
    if not 0 < train_genes < 1:
        msg = f"Expected `train_genes` between 0 and 1, found {train_genes}. Pass 0.75."
        raise ValueError(msg)
    rng = np.random.default_rng(random_state)
    genes = sorted({gene for p in parts for gene in p})
    seen = set(rng.choice(genes, max(1, int(len(genes) * train_genes)), replace=False).tolist())
    inside = sorted({p for p in parts if len(p) > 1 and set(p) <= seen})
    drawn = rng.choice(len(inside), int(len(inside) * train_genes), replace=False)
    combos = {inside[i] for i in drawn}
    train = _rows(parts, lambda p: p in combos or (len(p) == 1 and p[0] in seen))
    test = np.setdiff1d(np.arange(len(parts)), train)
    return ScreenSplit(train, test, f"simulation, seed {random_state}")


def split_groups(parts: Parts, split: ScreenSplit) -> list[str]:
    """Return the :func:`status` of each test row, as GEARS' groups of the test."""
    training = [parts[i] for i in split.train]
    return [status(parts[i], training) for i in split.test]


def _rows(parts: Parts, keep: Callable[[tuple[str, ...]], bool]) -> np.ndarray:
    return np.array([i for i, p in enumerate(parts) if keep(p)], dtype=np.int64)
