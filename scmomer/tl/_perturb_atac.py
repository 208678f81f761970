"""Change of accessibility or protein by perturbation, from RNA."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scmomer._checks import whole_number
from scmomer._constants import ATAC, PROTEIN, RNA, Modality
from scmomer.data import Layers, check_container
from scmomer.model import SCMOMER, feature_index, resolve_model
from scmomer.tasks.perturbation.across import (
    Changes,
    apply_folds,
    fold_changes,
    group_means,
    measured_changes,
    predicted_change,
)
from scmomer.tl._record import record
from scmomer.tl._screen_keys import CONTROL, ScreenKeys, read_keys, read_predicted

if TYPE_CHECKING:
    from scmomer.inference import Depth

logger = logging.getLogger(__name__)


def perturb_atac(
    data: AnnData | MuData,
    model: SCMOMER | str | Path | None = None,
    *,
    perturbation_key: str,
    control: str | Sequence[str] | None = None,
    predicted: AnnData | None = None,
    groupby: str | None = None,
    batch_key: str | None = None,
    features: Sequence[str] | None = None,
    depth: Depth = "mean",
    n_control: int = 500,
    min_cells: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    **layers: Unpack[Layers],
) -> AnnData:
    """Predict how perturbations change accessibility, from RNA alone.

    Two kinds of RNA can be translated. Without `predicted`: perturbed cells of a screen in which
    only RNA was measured; their mean translation, less that of matched controls. With `predicted`:
    expression that :func:`perturb` predicts for perturbations that were never done; the change is
    applied to control cells, and each is compared with itself. Controls are always subtracted:
    without that, any prediction resembles the measured profile.

    Parameters
    ----------
    data
        Cells of the screen with raw counts of RNA, control cells among them. With `predicted`, only
        these are used.
    model
        Trained model with RNA and ATAC, or the path of a saved one; None for the last one trained
        or loaded. Train it on the screen itself if both modalities were measured in a part of it.
    perturbation_key
        Column of obs with the perturbation of each cell: ``"A"``, ``"A+B"`` in any order,
        ``"A+ctrl"``.
    control
        Value, or values, of `perturbation_key` that mark controls; None: usual ones, such as
        ``"control"``, ``"ctrl"``, ``"NT"`` and ``"non-targeting"``.
    predicted
        Pseudobulks of :func:`perturb`: ``X`` with the mean ``log1p`` expression, and
        ``layers["change"]``, its difference from the controls; ``obs["perturbation"]``, and
        ``obs["group"]`` and ``obs["status"]`` if there are any.
    groupby
        Column of obs, such as cell types: changes for each group, against controls of the group.
    batch_key
        Column of obs with replicates: controls of the same replicate are subtracted. Not used with
        `predicted`.
    features
        Names of the peaks; None for all of the model.
    depth
        Depth of the probabilities, as in :func:`translate_atac`; the mean for all cells, so that no
        difference of depth counts as a change.
    n_control
        Most control cells of a group to which a predicted change is applied.
    min_cells
        Perturbations with fewer cells are left out.
    seed
        Of control cells, and of the counts after a predicted change.
    batch_size
        Minibatch size, default :attr:`scvi.settings.batch_size`. Does not change results.
    layers
        As in :func:`translate_atac`.

    Returns
    -------
    AnnData
        Perturbations (x groups) x peaks, float32: ``X``, the mean probability of being open after
        the perturbation; ``layers["change"]``, its difference from the controls;
        ``layers["control"]``; ``layers["std"]``, the standard error of the change over cells (NaN
        for single cells). It leaves out the error of the model and that of `predicted`. ``obs``:
        ``perturbation``,
        ``group``, ``status`` (``"measured"`` RNA, or that of `predicted`), ``n_cells`` (0 for
        predicted ones) and ``n_control``.

    Raises
    ------
    KeyError
        If there is no such column, or `predicted` lacks something.
    ValueError
        If there are no controls or no perturbed cells, a value of a column is missing (NaN), or
        the model cannot predict peaks.

    Notes
    -----
    A predicted change is a ratio for each gene, from means of ``log1p``. Counts of control cells are
    thinned to it, or raised by counts that are drawn for all cells of the group, so that the model
    reads counts as it was trained on. Ratios are at most 64.

    Examples
    --------
    >>> change = scmomer.tl.perturb_atac(rna, model, perturbation_key="gene", control="NT")
    >>> change.to_df("change").loc["JAK2"].nlargest(10)
    """
    options = ScreenKeys(perturbation_key, control, groupby, batch_key, depth, n_control, min_cells)
    return _perturb(ATAC, data, model, predicted, features, options, seed, batch_size, layers)


def perturb_protein(
    data: AnnData | MuData,
    model: SCMOMER | str | Path | None = None,
    *,
    perturbation_key: str,
    control: str | Sequence[str] | None = None,
    predicted: AnnData | None = None,
    groupby: str | None = None,
    batch_key: str | None = None,
    features: Sequence[str] | None = None,
    depth: Depth = "mean",
    n_control: int = 500,
    min_cells: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    **layers: Unpack[Layers],
) -> AnnData:
    """Predict how perturbations change surface protein, from RNA alone.

    As :func:`perturb_atac`, with typical counts of proteins in place of probabilities.

    Parameters
    ----------
    data, model, perturbation_key, control, predicted, groupby, batch_key
        As in :func:`perturb_atac`.
    features, depth, n_control, min_cells, seed, batch_size, layers
        As in :func:`perturb_atac`.

    Returns
    -------
    AnnData
        Perturbations (x groups) x proteins, as in :func:`perturb_atac`.

    Raises
    ------
    KeyError, ValueError
        As :func:`perturb_atac`.

    Examples
    --------
    >>> scmomer.tl.perturb_protein(rna, model, perturbation_key="gene", control="NT")
    """
    options = ScreenKeys(perturbation_key, control, groupby, batch_key, depth, n_control, min_cells)
    return _perturb(PROTEIN, data, model, predicted, features, options, seed, batch_size, layers)


@dataclass(frozen=True)
class _Translator:
    """Translates cells chunk by chunk."""

    model: SCMOMER
    to: Modality
    features: pd.Index | None
    depth: Depth
    batch_size: int | None

    @property
    def names(self) -> pd.Index:
        """Features that are translated."""
        return self.model.spec.features[self.to] if self.features is None else self.features

    def __call__(
        self, data: AnnData | MuData, indices: np.ndarray | None, layers: Any
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slices and values ``(n, n_features)``."""
        translation = self.model._translation(
            *(data, self.to, self.features, indices, self.depth, None, self.batch_size, layers)
        )
        for rows, values, _ in translation.chunks():
            yield rows, values

    def counts(self, counts: sp.csr_matrix) -> Iterator[np.ndarray]:
        """Yield values of cells with counts of the model's genes."""
        var = pd.DataFrame(index=self.model.spec.features[RNA])
        cells = AnnData(counts, var=var)
        layers = {"profile": "counts"}
        layer = self.model.spec.layers.get(RNA)
        if layer is not None:
            cells.layers[layer] = counts
        for _, values in self(cells, None, layers):
            yield values


def _perturb(
    to: Modality,
    data: AnnData | MuData,
    model: SCMOMER | str | Path | None,
    predicted: AnnData | None,
    features: Sequence[str] | None,
    options: ScreenKeys,
    seed: int,
    batch_size: int | None,
    layers: Any,
) -> AnnData:
    model = resolve_model(model)
    check_container(data)
    model._check_can_translate(to)
    if RNA not in model.spec.features:
        msg = f"Expected a model with RNA, found one of {list(model.spec.modalities)}. Train one."
        raise ValueError(msg)
    options = replace(options, min_cells=whole_number("min_cells", options.min_cells))
    names = None if features is None else feature_index(features)
    translator = _Translator(model, to, names, options.depth, batch_size)
    keys = read_keys(data, options, only_controls=predicted is not None)
    if predicted is None:
        found = _from_cells(data, keys, translator, options, layers)
    else:
        found = _from_predicted(data, keys, translator, predicted, options, seed, layers)
    out = _as_anndata(found, translator.names)
    record(
        out,
        model,
        f"perturb_{to}",
        perturbation_key=options.perturbation_key,
        control=options.control,
        groupby=options.groupby,
        batch_key=options.batch_key,
        depth=options.depth,
        predicted=predicted is not None,
    )
    return out


def _from_cells(
    data: AnnData | MuData,
    keys: pd.DataFrame,
    translator: _Translator,
    options: ScreenKeys,
    layers: Any,
) -> Changes:
    """Translate the cells of a screen."""
    sizes = keys["perturbation"].value_counts()
    few = sizes[(sizes < options.min_cells) & (sizes.index != CONTROL)]
    if len(few):
        logger.info("%d perturbations have fewer than %d cells.", len(few), options.min_cells)
    cells = np.flatnonzero(~keys["perturbation"].isin(few.index))
    kept = keys.iloc[cells]
    if (kept["perturbation"] == CONTROL).all():
        msg = (
            f"Expected perturbations of at least {options.min_cells} cells, found at most "
            f"{int(few.max())}. Lower min_cells=."
        )
        raise ValueError(msg)
    codes, groups = pd.factorize(pd.MultiIndex.from_frame(kept))
    table = pd.DataFrame(list(groups), columns=list(kept))
    chunks = translator(data, cells, layers)
    means = group_means(chunks, codes, len(table), len(translator.names))
    found = measured_changes(means, table, CONTROL)
    n_used = int(found.table["n_cells"].sum())
    n_perturbed = int((kept["perturbation"] != CONTROL).sum())
    if n_used < n_perturbed:
        logger.info(
            "%d of %d perturbed cells have no controls in their group and batch and are left out.",
            *(n_perturbed - n_used, n_perturbed),
        )
    return found


def _from_predicted(
    data: AnnData | MuData,
    keys: pd.DataFrame,
    translator: _Translator,
    predicted: AnnData,
    options: ScreenKeys,
    seed: int,
    layers: Any,
) -> Changes:
    """Apply predicted changes to control cells."""
    obs, before, after = read_predicted(predicted, translator.model)
    counts = translator.model._read_cells(data, layers).counts[RNA]
    if not (counts.data == np.floor(counts.data)).all():
        msg = (
            "Expected raw counts of RNA, to which predicted= can be applied, found other values. "
            "Pass control cells with counts."
        )
        raise ValueError(msg)
    if options.groupby is not None and (obs["group"] == "").all():
        msg = (
            f"Expected predicted pseudobulks of groups for groupby={options.groupby!r}, found none in "
            "obs['group']. Predict with groupby= too, or pass groupby=None."
        )
        raise ValueError(msg)
    if options.groupby is None and (obs["group"] != "").any():
        msg = (
            f"Expected groupby= for predicted pseudobulks of groups, found None for "
            f"{sorted(set(obs['group']))}. Name the column of obs with these groups."
        )
        raise ValueError(msg)
    n, n_features = len(obs), len(translator.names)
    change, control, variance = (np.zeros((n, n_features)) for _ in range(3))
    table = obs.assign(n_cells=0, n_control=0)
    for group, rows in obs.groupby("group", sort=False).indices.items():
        here = keys["perturbation"] == CONTROL
        if options.groupby is not None:
            here &= keys["group"] == group
        cells = _some(np.flatnonzero(here), whole_number("n_control", options.n_control), seed)
        if not len(cells):
            msg = (
                f"Expected control cells of group {group!r}, found none. Leave this group out of "
                "predicted=, or pass cells that have it."
            )
            raise ValueError(msg)
        mine = counts[cells]
        old = list(translator.counts(mine))
        table.iloc[rows, table.columns.get_loc("n_control")] = len(cells)
        for row in rows:
            # The same draws for each perturbation: differences between them are their own.
            rng = np.random.default_rng(seed)
            new = translator.counts(apply_folds(mine, fold_changes(before[row], after[row]), rng))
            change[row], control[row], variance[row] = predicted_change(old, new)
    return Changes(table, change, control, variance)


def _some(cells: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return at most `n` random cells."""
    if len(cells) <= n:
        return cells
    return np.sort(np.random.default_rng(seed).permutation(cells)[:n])


def _as_anndata(found: Changes, names: pd.Index) -> AnnData:
    obs = found.table.copy()
    has_groups = (obs["group"] != "").any()
    index = obs["perturbation"] + (" | " + obs["group"] if has_groups else "")
    obs.index = pd.Index(index.to_numpy(str))
    after = (found.control + found.change).astype(np.float32)
    out = AnnData(after, obs=obs, var=pd.DataFrame(index=pd.Index(names)))
    out.layers["change"] = found.change.astype(np.float32)
    out.layers["control"] = found.control.astype(np.float32)
    out.layers["std"] = np.sqrt(found.variance).astype(np.float32)
    return out
