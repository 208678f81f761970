"""Change of translated profiles by perturbation, controls subtracted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

#: Yields rows of cells, by slices, and translated values ``(n, n_features)``.
Chunks = Iterable[tuple[slice, np.ndarray]]


@dataclass(frozen=True)
class Means:
    """Mean profiles of groups of cells."""

    sizes: np.ndarray
    """Cells, ``(n_groups,)``."""
    mean: np.ndarray
    """``(n_groups, n_features)`` float64."""
    variance: np.ndarray
    """Squared standard error of the mean; 0 for a single cell, ``(n_groups, n_features)``."""


def group_means(chunks: Chunks, codes: np.ndarray, n_groups: int, n_features: int) -> Means:
    """Return mean profiles, from chunks of cells.

    Parameters
    ----------
    chunks
        Translated values.
    codes
        Group of each cell, ``(n_cells,)``; -1 for none.
    n_groups, n_features
        Sizes.
    """
    total, squares = np.zeros((n_groups, n_features)), np.zeros((n_groups, n_features))
    for rows, values in chunks:
        code = codes[rows]
        cells = np.flatnonzero(code >= 0)
        pick = sp.csr_matrix((np.ones(len(cells)), (code[cells], cells)), (n_groups, len(code)))
        values = values.astype(np.float64)
        total += pick @ values
        squares += pick @ values**2
    sizes = np.bincount(codes[codes >= 0], minlength=n_groups)
    n = np.maximum(sizes, 1)[:, None]
    mean = total / n
    spread = np.maximum(squares / n - mean**2, 0) / np.maximum(n - 1, 1)
    return Means(sizes, mean, np.where(n > 1, spread, 0.0))


@dataclass(frozen=True)
class Changes:
    """Change of each perturbation in each group of cells."""

    table: pd.DataFrame
    """``perturbation``, ``group``, ``status``, ``n_cells`` and ``n_control``; a row for each."""
    change: np.ndarray
    """``(n_rows, n_features)``"""
    control: np.ndarray
    """Mean of the matched controls, ``(n_rows, n_features)``."""
    variance: np.ndarray
    """Squared standard error of `change`, NaN for single cells, ``(n_rows, n_features)``."""


def measured_changes(
    means: Means, keys: pd.DataFrame, control: str, status: str = "measured"
) -> Changes:
    """Return changes of perturbed cells against the controls of the same group and batch.

    A control mean is averaged over batches with the shares of the perturbed cells. Cells of a
    batch without controls of their group are left out.

    Parameters
    ----------
    means
        Of groups of cells.
    keys
        ``perturbation``, ``group`` and ``batch`` of each of them.
    control
        Name of the control.
    status
        What the table calls these perturbations.

    Raises
    ------
    ValueError
        If no perturbed cells have controls.
    """
    is_control = (keys["perturbation"] == control).to_numpy() & (means.sizes > 0)
    where = pd.MultiIndex.from_frame(keys[["group", "batch"]])
    matched = where[is_control].get_indexer(where)  # its control, -1 without
    controls = np.flatnonzero(is_control)
    rows, parts = [], []
    perturbed = ~is_control & (matched >= 0) & (means.sizes > 0)
    for (name, group), index in keys[perturbed].groupby(["perturbation", "group"]).groups.items():
        here = keys.index.get_indexer(index)
        other = controls[matched[here]]
        weight = means.sizes[here] / means.sizes[here].sum()
        base = weight @ means.mean[other]
        parts.append(
            (
                weight @ means.mean[here] - base,
                base,
                weight**2 @ (means.variance[here] + means.variance[other]),
            )
        )
        if min(means.sizes[here].max(), means.sizes[other].max()) < 2:
            parts[-1][2][:] = np.nan  # a single cell has no spread
        n_control = int(means.sizes[other].sum())
        rows.append((name, group, status, int(means.sizes[here].sum()), n_control))
    if not rows:
        msg = (
            "Expected controls in the same group and batch as perturbed cells, found none. Leave "
            "out batch_key= or groupby=, or pass controls for them."
        )
        raise ValueError(msg)
    columns = ["perturbation", "group", "status", "n_cells", "n_control"]
    change, base, variance = (np.array(part) for part in zip(*parts, strict=True))
    return Changes(pd.DataFrame(rows, columns=columns), change, base, variance)


def predicted_change(
    before: Sequence[np.ndarray], after: Iterable[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return change, control and squared standard error, ``(n_features,)`` each.

    Each control cell is compared with itself after the change.

    Parameters
    ----------
    before, after
        Translated values of the same control cells in the same chunks, with their own expression
        and with the predicted change.
    """
    total, squares, base = np.zeros((3, before[0].shape[1]))
    for old, new in zip(before, after, strict=True):
        apart = new.astype(np.float64) - old
        total += apart.sum(0)
        squares += (apart**2).sum(0)
        base += old.sum(0, dtype=np.float64)
    n = sum(map(len, before))
    mean = total / n
    variance = np.maximum(squares / n - mean**2, 0) / max(n - 1, 1)
    return mean, base / n, variance
