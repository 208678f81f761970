"""Cells of a screen, normalized, with what was done to each."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scmomer._checks import whole_number
from scmomer.data import (
    Profile,
    check_no_missing,
    display_name,
    get_expression,
    group_indicator,
    obs_column,
    warn,
    with_values,
)
from scmomer.tasks.perturbation.screen._checks import (
    check_cells,
    check_profile,
    library_sizes,
    text_column,
)
from scmomer.tasks.perturbation.screen._effects import Effects
from scmomer.tasks.perturbation.screen._names import Control, parse_perturbations

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScreenCells:
    """Normalized cells of a screen."""

    values: sp.csr_matrix
    """``log1p`` of counts scaled to `target_sum`, float32 ``(n_cells, n_genes)``."""
    names: np.ndarray
    """Perturbation of each cell, ``""`` for control, ``(n_cells,)``."""
    parts: dict[str, tuple[str, ...]]
    """Parts of each perturbation."""
    groups: np.ndarray
    """Group of each cell, ``""`` without groups, ``(n_cells,)``."""
    batches: np.ndarray
    """Batch of each cell, ``""`` without batches, ``(n_cells,)``."""
    positions: np.ndarray
    """Row of each cell in the data that were read, ``(n_cells,)``."""
    genes: pd.Index
    """Names of genes."""
    target_sum: float
    """Total to which counts of each cell were scaled."""

    @property
    def is_control(self) -> np.ndarray:
        """Whether each cell is a control, bool ``(n_cells,)``."""
        return self.names == ""

    def keep(self, cells: np.ndarray) -> ScreenCells:
        """Return some cells, by position or as a mask."""
        return replace(
            self,
            values=self.values[cells],
            names=self.names[cells],
            groups=self.groups[cells],
            batches=self.batches[cells],
            positions=self.positions[cells],
        )

    def halves(self, random_state: int = 0) -> np.ndarray:
        """Split the cells of each perturbation, control, group and batch at random into halves.

        Returns
        -------
        numpy.ndarray
            0 or 1 for each cell, ``(n_cells,)``.
        """
        rng = np.random.default_rng(random_state)
        strata = self._strata()
        order = rng.permutation(len(strata))
        order = order[np.argsort(strata[order], kind="stable")]
        sizes = np.bincount(strata)
        within = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        # Of an odd number the larger half is drawn too: single cells would all be in the first.
        flip = rng.integers(0, 2, len(sizes))[strata[order]]
        half = np.empty(len(order), np.int64)
        half[order] = (within + flip) % 2
        return half

    def effects(
        self,
        *,
        control_half: int | None = None,
        perturbed_half: int | None = None,
        random_state: int = 0,
    ) -> Effects:
        """Return the change by each perturbation in each group.

        Parameters
        ----------
        control_half, perturbed_half
            0 or 1: only this half of the control or perturbed cells; None: all. Training with one
            half of the control cells and evaluation with the other share no noise.
        random_state
            Seed of the halves.

        Raises
        ------
        ValueError
            If a group with perturbed cells has no control cell.
        """
        kept = np.ones(len(self.names), bool)
        half = self.halves(random_state)
        for wanted, cells in ((control_half, self.is_control), (perturbed_half, ~self.is_control)):
            if wanted is not None:
                kept &= ~cells | (half == wanted)
        return _effects(self.keep(np.flatnonzero(kept)))

    def _strata(self) -> np.ndarray:
        """Return codes of perturbation, group and batch, ``(n_cells,)``."""
        columns = pd.DataFrame({"p": self.names, "g": self.groups, "b": self.batches})
        return columns.groupby(["p", "g", "b"], sort=True).ngroup().to_numpy()


def read_screen_cells(
    adata: AnnData,
    *,
    perturbation_key: str,
    control: Control = None,
    batch_key: str | None = None,
    groupby: str | None = None,
    layer: str | None = None,
    profile: Profile = "counts",
    target_sum: float | None = None,
    library_size_key: str | None = None,
    separator: str | None = None,
    min_cells: int = 1,
) -> ScreenCells:
    """Read and normalize the cells of a screen.

    Parameters
    ----------
    adata
        Cells x genes.
    perturbation_key, control, separator
        Column of ``obs`` with perturbations, its control, and what is between parts:
        :func:`parse_perturbations`.
    batch_key
        Column with batches (replicates) within which control cells are matched.
    groupby
        Column with groups, such as cell types, in each of which changes are found.
    layer, profile
        Where expression is and what it is: ``"counts"``, or ``"normalized"``.
    target_sum
        Total of each cell after scaling; None: the median total of all cells.
    library_size_key
        Column with the total count of each cell over all genes. Pass it for a subset of variable
        genes: their own total changes with the perturbation. None: the total of the genes at hand.
    min_cells
        Leave out perturbations (in a group) with fewer cells.

    Raises
    ------
    KeyError
        If there is no such column or layer.
    ValueError
        If values are not counts, labels are missing, or no cell is a control.
    """
    min_cells = whole_number("min_cells", min_cells)
    check_cells(adata)
    name = display_name(adata)
    labels = obs_column(adata, perturbation_key, "perturbation_key=")
    place = f"{name}.obs[{perturbation_key!r}]"
    line = f"Leave them out: `{with_values(adata, perturbation_key)}`."
    check_no_missing(labels, f"a perturbation in {place}", line)
    found = parse_perturbations(labels, control, separator=separator, place=place)
    check_profile(profile)
    counts = get_expression(adata, layer, name, profile=profile).counts
    sizes = None if library_size_key is None else library_sizes(adata, library_size_key)
    values, total = _normalize(counts, target_sum, sizes)
    cells = ScreenCells(
        values,
        found.names,
        found.parts,
        text_column(adata, groupby, "groupby="),
        text_column(adata, batch_key, "batch_key="),
        np.arange(adata.n_obs),
        adata.var_names.astype(str),
        total,
    )
    return _leave_out(cells, min_cells)


def read_screen(
    adata: AnnData,
    *,
    perturbation_key: str,
    control: Control = None,
    batch_key: str | None = None,
    groupby: str | None = None,
    layer: str | None = None,
    profile: Profile = "counts",
    target_sum: float | None = None,
    library_size_key: str | None = None,
    separator: str | None = None,
    min_cells: int = 1,
    control_half: int | None = None,
    random_state: int = 0,
) -> Effects:
    """Return the pseudobulk changes of a screen.

    Parameters
    ----------
    adata, perturbation_key, control, batch_key, groupby, layer, profile, target_sum, \
    library_size_key, separator, min_cells
        As in :func:`read_screen_cells`.
    control_half, random_state
        As in :meth:`ScreenCells.effects`.
    """
    cells = read_screen_cells(
        adata,
        perturbation_key=perturbation_key,
        control=control,
        batch_key=batch_key,
        groupby=groupby,
        layer=layer,
        profile=profile,
        target_sum=target_sum,
        library_size_key=library_size_key,
        separator=separator,
        min_cells=min_cells,
    )
    return cells.effects(control_half=control_half, random_state=random_state)


def _normalize(
    counts: sp.csr_matrix, target_sum: float | None, sizes: np.ndarray | None = None
) -> tuple[sp.csr_matrix, float]:
    """Return ``log1p`` of counts scaled to a total, and the total.

    `sizes` are totals over more genes, ``(n_cells,)``; None: totals of `counts`.
    """
    own = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    totals = own if sizes is None else sizes
    some = totals[totals > 0]
    if not len(some):
        msg = (
            f"Expected counts above 0, found none in {len(totals)} cells. Pass layer= with counts."
        )
        raise ValueError(msg)
    if target_sum is None:
        target_sum = float(np.median(some))
    if not isinstance(target_sum, int | float | np.number) or not target_sum > 0:
        msg = f"Expected `target_sum` above 0, found {target_sum!r}. Pass 1e4, or None."
        raise ValueError(msg)
    if len(some) < len(totals):
        logger.info("%d of %d cells have no counts.", len(totals) - len(some), len(totals))
    scale = np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0)
    values = sp.csr_matrix(sp.diags(scale.astype(np.float32)) @ counts)
    values.data = np.log1p(values.data)
    return values, float(target_sum)


def _leave_out(cells: ScreenCells, min_cells: int) -> ScreenCells:
    """Leave out cells of perturbations with few cells in a group, and count them."""
    if min_cells <= 1:
        return cells
    table = pd.DataFrame({"p": cells.names, "g": cells.groups})
    n = table.groupby(["p", "g"])["p"].transform("size").to_numpy()
    few = (n < min_cells) & ~cells.is_control
    if not few.any():
        return cells
    dropped = table[few].drop_duplicates()
    listed = ", ".join(dropped["p"].unique()[:5])
    warn(
        f"{len(dropped)} perturbations with fewer than min_cells={min_cells} cells are left out "
        f"({int(few.sum())} cells), such as {listed}."
    )
    if (few | cells.is_control).all():
        msg = (
            f"Expected perturbations of at least min_cells={min_cells} cells, found at most "
            f"{int(n[few].max())}. Lower min_cells=."
        )
        raise ValueError(msg)
    kept = cells.keep(np.flatnonzero(~few))
    left = set(kept.names)
    return replace(kept, parts={k: v for k, v in cells.parts.items() if k in left})


def _effects(cells: ScreenCells) -> Effects:
    """Return changes about control cells of the same group and batch."""
    keys = pd.DataFrame({"p": cells.names, "g": cells.groups, "b": cells.batches})
    at = keys.groupby(["p", "g", "b"], sort=True)
    strata, codes = at.size().rename("n").reset_index(), at.ngroup().to_numpy()
    n, sums, squares = _sums(cells.values, codes, len(strata))
    rows, shares, weights = _rows(strata)
    n_row = shares @ n
    perturbed = (shares @ sums) / n_row[:, None]
    pooled = _pooled_variance(n, sums, squares)
    spread = _variance(n_row, shares @ sums, shares @ squares, pooled)
    means = sums / n[:, None]
    within = _variance(n, sums, squares, pooled) / n[:, None]
    control = weights @ means
    variance = spread / n_row[:, None] + weights.power(2) @ within
    table = rows.assign(
        n_cells=n_row.astype(np.int64), n_control=((weights > 0) @ n).astype(np.int64)
    )
    parts = tuple(cells.parts[name] for name in table["perturbation"])
    return Effects(table, parts, perturbed, control, variance, cells.genes)


def _sums(
    values: sp.csr_matrix, codes: np.ndarray, n_strata: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the number of cells of each stratum and the sums of values and of their squares."""
    of = group_indicator(codes, n_strata)
    sums = (of @ values.astype(np.float64)).toarray()
    squares = (of @ values.astype(np.float64).power(2)).toarray()
    return np.bincount(codes, minlength=n_strata).astype(np.float64), sums, squares


def _rows(strata: pd.DataFrame) -> tuple[pd.DataFrame, sp.csr_array, sp.csr_array]:
    """Return rows, which strata are theirs, and weights of strata of control cells (of sum 1).

    Raises
    ------
    ValueError
        If a group has no control cells.
    """
    perturbed = strata[strata["p"] != ""]
    controls = strata[strata["p"] == ""].reset_index().set_index(["g", "b"])["index"]
    without = sorted(set(perturbed["g"]) - set(controls.index.get_level_values("g")))
    if without:
        where = f"groups {without[:5]}" if without != [""] else "the data"
        msg = (
            f"Expected control cells in each group, found none in {where}. Leave these groups out, "
            "or pass groupby=None."
        )
        raise ValueError(msg)
    here = np.array(
        [key in controls.index for key in zip(perturbed["g"], perturbed["b"], strict=True)]
    )
    if not here.all():
        lost = perturbed[~here]
        warn(
            f"{int(lost['n'].sum())} perturbed cells are left out: their batches "
            f"({', '.join(sorted(set(lost['b']))[:5])}) have no control cell. Pass batch_key=None "
            "to compare them with all control cells."
        )
        perturbed = perturbed[here]
    if perturbed.empty:
        msg = "Expected control cells in the batches of perturbed cells, found none. Pass batch_key=None."
        raise ValueError(msg)
    keys = perturbed.groupby(["p", "g"], sort=True)
    row = keys.ngroup().to_numpy()
    rows = keys.size().reset_index()[["p", "g"]].set_axis(["perturbation", "group"], axis=1)
    shape = (len(rows), len(strata))
    ones = np.ones(len(row))
    shares = sp.csr_array((ones, (row, perturbed.index.to_numpy())), shape)
    share = perturbed["n"].to_numpy() / np.bincount(row, perturbed["n"])[row]
    at = [controls[key] for key in zip(perturbed["g"], perturbed["b"], strict=True)]
    return rows, shares, sp.csr_array((share, (row, at)), shape)


def _pooled_variance(n: np.ndarray, sums: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Return the variance within strata, or of all cells if each stratum is one, ``(n_genes,)``."""
    if (n > 1).any():
        inside = (squares - sums**2 / n[:, None]).sum(axis=0)
        return np.maximum(inside, 0) / (n - 1).sum()
    total = squares.sum(axis=0) - sums.sum(axis=0) ** 2 / n.sum()
    return np.maximum(total, 0) / max(n.sum() - 1, 1)


def _variance(
    n: np.ndarray, sums: np.ndarray, squares: np.ndarray, pooled: np.ndarray
) -> np.ndarray:
    """Return the variance of cells in each row; the pooled one for a single cell."""
    inside = np.maximum(squares - sums**2 / n[:, None], 0)
    return np.where(n[:, None] > 1, inside / np.maximum(n - 1, 1)[:, None], pooled)
