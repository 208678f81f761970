"""Measured and translated ATAC of the same cells and peaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scmomer._constants import KEYS
from scmomer.data import Pseudobulk, Values, get_groups, get_peaks, get_values, pseudobulk


class MatchedData(NamedTuple):
    """Measured and translated values of the same cells x peaks."""

    truth: Values
    translated: Values
    peaks: pd.Index  # (n_peaks,)
    labels: pd.Categorical  # (n_cells,)

    def bulks(self) -> tuple[Pseudobulk, Pseudobulk]:
        """Return measured and translated accessibility by group."""
        return (
            pseudobulk(self.truth, self.labels, "measured values"),
            pseudobulk(self.translated, self.labels, "translated values"),
        )

    def column(self, peak: str) -> tuple[np.ndarray, np.ndarray]:
        """Return whether a peak is open and its translated value, each ``(n_cells,)``."""
        number = self.peaks.get_loc(peak)
        truth, translated = (_dense(m[:, [number]]) for m in (self.truth, self.translated))
        return truth[:, 0] > 0, translated[:, 0]


def match_data(
    truth: AnnData | MuData,
    translated: AnnData | MuData,
    groupby: str,
    layer: str | None = None,
) -> MatchedData:
    """Match cells and peaks by name.

    Parameters
    ----------
    truth
        Measured ATAC, with column `groupby` in obs.
    translated
        Translated ATAC: ``layers["scmomer"]`` if it exists, else ``X``. Peaks that the model does
        not have (NaN) are left out.
    groupby
        Column with the group of each cell.
    layer
        Layer of `truth`; None for ``X``.

    Raises
    ------
    KeyError
        If the column or layer is absent.
    ValueError
        If no cell, or no peak, is in both.
    """
    labels, measured = get_groups(truth, groupby), get_peaks(truth)
    predicted = get_peaks(translated)
    source = KEYS.LAYER if KEYS.LAYER in predicted.layers else None
    cells = _shared("cells", measured.obs_names, predicted.obs_names)
    has = _is_translated(get_values(predicted, source)[0])
    peaks = _shared("translated peaks", measured.var_names, predicted.var_names[has])
    return MatchedData(
        _select(measured, layer, cells, peaks),
        _select(predicted, source, cells, peaks),
        peaks,
        labels[measured.obs_names.get_indexer(cells)].remove_unused_categories(),
    )


def check_groups(labels: pd.Categorical, groups: Sequence[str] | None) -> list[str]:
    """Return the groups to show; None for all.

    Raises
    ------
    ValueError
        If a group is unknown.
    """
    known = labels.categories.tolist()
    chosen = known if groups is None else [str(g) for g in groups]
    if isinstance(groups, str) or not chosen or set(chosen) - set(known):
        msg = f"Expected a list of groups among {known}, found {groups!r}."
        raise ValueError(msg)
    return chosen


def _shared(what: str, first: pd.Index, second: pd.Index) -> pd.Index:
    """Return names in both, in the order of the first."""
    both = first[first.isin(second)]
    if both.empty:
        examples = [list(names[:1]) for names in (first, second)]
        msg = (
            f"Expected {what} with the same names in the measured and the translated data, found "
            f"none: names are such as {examples[0]} and {examples[1]}."
        )
        raise ValueError(msg)
    return both


def _is_translated(values: Values) -> np.ndarray:
    """Return peaks that are not NaN, ``(n_peaks,)``, from one cell: NaN fills whole peaks."""
    return ~np.isnan(_dense(values[:1]))[0]


def _dense(values: Any) -> np.ndarray:
    return values.toarray() if sp.issparse(values) else values


def _select(adata: AnnData, layer: str | None, cells: pd.Index, peaks: pd.Index) -> Values:
    """Return the values of the named cells and peaks; not copied if all are selected."""
    if not adata.obs_names.equals(cells):
        adata = adata[cells]
    if not adata.var_names.equals(peaks):
        adata = adata[:, peaks]
    return get_values(adata, layer)[0]
