"""Which genes or peaks a prediction comes from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer._checks import whole_number
from scmomer._constants import Modality
from scmomer.data import (
    Cells,
    Layers,
    as_groups,
    as_text,
    check_container,
    find_parts,
    obs_column,
    warn,
)
from scmomer.inference import Inference
from scmomer.model import SCMOMER, resolve_model
from scmomer.tasks.annotation import CellTypeClassifier
from scmomer.tasks.genes import (
    MAX_ERROR,
    OBS,
    Attributions,
    Integrator,
    PathNetwork,
    Readout,
    Target,
    average_cell,
    choose_source,
    classifier_readout,
    feature_readout,
    import_captum,
    probe_readout,
)
from scmomer.tl._copy import Container, own
from scmomer.tl._record import as_stored, record

logger = logging.getLogger(__name__)
Baseline = Literal["zero", "group_mean"]


def attribute(
    data: Container,
    model: SCMOMER | CellTypeClassifier | str | Path | None = None,
    *,
    target: tuple[str, str | Sequence[str]],
    groupby: str | None = None,
    baseline: Baseline = "zero",
    tokens: bool | None = None,
    n_steps: int = 50,
    source: Modality | None = None,
    labels_key: str | None = None,
    indices: Sequence[int] | np.ndarray | None = None,
    batch_size: int | None = None,
    enable_progress_bar: bool = True,
    key_added: str = "attributions",
    copy: bool = False,
    **layers: Unpack[Layers],
) -> Container | None:
    r"""Attribute a prediction to genes or peaks, by integrated gradients.

    For a cell with the input :math:`x`, a prediction :math:`f` and a baseline :math:`x_0`, gene
    :math:`g` is attributed

    .. math::

        a_g = (x_g - x_{0,g}) \int_0^1
              \frac{\partial f}{\partial x_g}\bigl(x_0 + t (x - x_0)\bigr) \, dt

    The attributions of a cell sum to :math:`f(x) - f(x_0)`. This is checked; their mean over the
    cells of a group keeps the sign.

    Parameters
    ----------
    data
        AnnData or MuData with raw counts, as in :func:`embed`.
    model
        Trained model, its path, or None for the last one trained or loaded. For
        ``target=("obs", label)`` also a :class:`~scmomer.CellTypeClassifier` with
        ``inputs="embedding"``.
    target
        What is explained, or several of one kind in a list, as in ``("rna", ["Gad1", "Gad2"])``:

        - ``("atac", peak)``: logit of the accessibility of a peak;
        - ``("protein", name)``: natural log of the expected count of a protein;
        - ``("rna", gene)``: log2 expression of a gene, before negative values become 0;
        - ``("obs", label)``: log odds of a label. A logistic regression of each label against the
          others, with balanced classes, is fitted to the fused embedding of these cells. With a
          classifier, the log odds of its class.

        Predictions are those of :meth:`scmomer.SCMOMER.get_translated` for an average batch at the
        mean depth (``depth_share=0``).
    groupby
        Column of obs: one result for each of its groups. Cells without a group are left out. None:
        all cells are one group, ``"all"``.
    baseline
        - ``"zero"``: a cell that expresses none of its genes, or in which no peak is open.
        - ``"group_mean"``: the mean of the groups' mean cells. Attributions then say what makes a
          group differ from the average group. Needs `groupby`, and computes all genes of a cell
          instead of only those that it expresses.
    tokens
        Also attribute what the Performer reads: expression bins, through their embeddings (see
        Notes). False holds the bins of each cell, and attributes continuous expression only. This
        is about 25 times faster, and leaves out how the Performer responds to expression. No effect
        on other encoders. None: only if the encoder reads expression in no other way.
    n_steps
        Points on each path. Doubled up to three times if attributions miss the change of the
        prediction by more than 5 %.
    source
        Modality to attribute to; others are not read. None: for ``("rna", gene)`` ATAC, then
        protein, then RNA itself; else RNA, then the others.
    labels_key
        With ``("obs", label)``: column of obs with the labels. None: `groupby`, or else the column
        registered with the model.
    indices
        Cells to use; None for all.
    batch_size
        Cells at a time, default :attr:`scvi.settings.batch_size`; fewer where memory is short. Does
        not change results.
    enable_progress_bar
        Show a progress bar over minibatches where there are several.
    key_added
        Key in ``varm`` and ``uns``.
    copy
        Modify and return a copy of `data`.
    layers
        ``layer=`` (AnnData) or ``rna_layer=``, ``atac_layer=``, ``protein_layer=`` (MuData): layer
        with the raw counts; default as in the training data, else ``X``.
        ``profile=``: what the values of RNA are, as in
        :meth:`scmomer.SCMOMER.get_latent_representation`.

    Returns
    -------
    AnnData | MuData | None
        None, or the copy if `copy`. Adds to `data` or, in a MuData, to the modality of the source:

        ``varm[key_added]``
            Mean attribution over the cells of each group, in units of the prediction,
            ``(n_vars, n_groups)``, float32; ``(n_vars, n_groups, n_targets)`` for a list of names.
            NaN for features that the model lacks and for groups without cells.
        ``varm[key_added + "_absolute"]``
            Mean of absolute attributions, same shape, at least 0.
        ``uns[key_added]``
            ``"groups"``, ``"targets"``: names along the axes; ``"n_cells"`` ``(n_groups,)``;
            ``"value"`` and ``"baseline_value"``: mean of :math:`f(x)` and :math:`f(x_0)`,
            ``(n_groups, n_targets)``; ``"error"``: mean absolute error of the sum of a cell's
            attributions relative to the mean absolute change, ``(n_targets,)``; ``"n_steps"``;
            ``"params"``.

    Raises
    ------
    ImportError
        If captum is not installed.
    KeyError
        If a feature or column does not exist.
    RuntimeError
        If the model, or a stage needed here, is not trained.
    ValueError
        If an argument is invalid, or the model cannot predict the target from the source.

    Warns
    -----
    UserWarning
        If attributions miss the change of the prediction by more than 5 %.

    Notes
    -----
    Integrated gradients: Sundararajan, Taly and Yan (ICML 2017), computed by captum. Expression is
    continuous, ``log2(1 + counts / total * target)``. A Performer also reads bins of it, which jump.
    With ``tokens=True`` the path leads in a straight line through the embeddings of bins too: from
    that of a gene that is not expressed to that of the cell's bin. What the dimensions contribute is
    added to the gene. If the model has tokens of expressed genes only (``rna_tokens="expressed"``),
    training never showed it a gene that is not expressed; the mask token of stage 1, "expression
    hidden", stands for it.

    The baseline ``"zero"`` is therefore the cell's own genes with expression 0 and hidden bins; with
    ``tokens=False`` it keeps the cell's bins. ``"group_mean"`` has the mean expression of all genes
    and, for each gene of the cell, the mean of the embeddings of its bins. Peaks move between closed
    and open at the cell's own number of open peaks.

    Attributions describe the model, not causes. Genes that vary together share what one of them
    may be responsible for. Attention weights are not offered: FAVOR+ attention has no matrix of
    them, and weights of exact attention do not measure importance.

    Examples
    --------
    >>> scmomer.tl.attribute(rna, model, target=("atac", "chr1:1000-1500"), groupby="cell_type")
    >>> groups = rna.uns["attributions"]["groups"]
    >>> pd.DataFrame(rna.varm["attributions"], rna.var_names, groups)
    >>> scmomer.pl.attributions(rna)
    >>> few = np.random.default_rng(0).choice(rna.n_obs, 500, replace=False)  # faster
    >>> scmomer.tl.attribute(rna, model, target=("obs", "Astro"), labels_key="type", indices=few)
    """
    import_captum()
    wanted: Target = _check(target, groupby, baseline)
    n_steps = whole_number("n_steps", n_steps)
    check_container(data)
    classifier = model if isinstance(model, CellTypeClassifier) else None
    if classifier is not None and wanted.kind != OBS:
        msg = (
            "Expected target=('obs', label) for a CellTypeClassifier, found "
            f"{(wanted.kind, *wanted.names)}. Pass the model itself: `model=classifier.model`."
        )
        raise ValueError(msg)
    network = _network(model)
    cells = _read(data, network, classifier, layers)
    chosen = choose_source(wanted, cells, source)
    selected = Inference(network.module, cells, indices, batch_size).indices
    groups = _groups(data, groupby, selected, cells, chosen)
    if classifier is not None:
        readout = classifier_readout(classifier, wanted, chosen)
        network._require_stages_for(cells.select_modality(chosen))
    elif wanted.kind == OBS:
        labels = _labels(data, labels_key or groupby or network.spec.labels_key)
        readout = probe_readout(network, wanted, chosen, cells, labels, batch_size)
    else:
        readout = feature_readout(network, wanted, chosen, cells)
    path = PathNetwork(network.module.eval(), chosen)
    tokens = path.has_tokens and (path.needs_tokens if tokens is None else tokens)
    found = _average(
        network,
        chosen,
        cells,
        groups,
        readout,
        baseline,
        tokens,
        n_steps,
        batch_size,
        enable_progress_bar,
    )
    _warn_if_incomplete(found, wanted)
    data = own(data, copy)
    params = {
        "target": wanted.kind,
        "source": chosen,
        "groupby": groupby,
        "baseline": baseline,
        "tokens": tokens,
    }
    _write(data, network, found, wanted, groups, params, key_added)
    record(data, network, "attribute", key_added=key_added, **params)
    return data if copy else None


@dataclass(frozen=True)
class _Groups:
    """Cells to use."""

    names: list[str]
    cells: np.ndarray
    """Indices of the cells, ``(n,)``."""
    codes: np.ndarray
    """Group of each, ``(n,)``."""


def _check(target: Any, groupby: str | None, baseline: str) -> Target:
    if baseline not in get_args(Baseline):
        msg = f"Expected baseline 'zero' or 'group_mean', found {baseline!r}. Pass one of them."
        raise ValueError(msg)
    if baseline == "group_mean" and groupby is None:
        msg = (
            "Expected groupby= with baseline='group_mean', found None. Pass a column of obs: "
            "attributions to the mean of all cells average to about zero over the same cells."
        )
        raise ValueError(msg)
    return Target.parse(target)


def _network(model: Any) -> SCMOMER:
    """Return the model whose network is explained: that of a classifier may be fine-tuned."""
    if not isinstance(model, CellTypeClassifier):
        return resolve_model(model)
    _ = model.fitted_  # raises if it is not trained
    return model._network


def _read(
    data: AnnData | MuData,
    network: SCMOMER,
    classifier: CellTypeClassifier | None,
    layers: Any,
) -> Cells:
    if classifier is None:
        return network._read_cells(data, layers)
    return classifier._read(data, layers, classifier.fitted_.genes)


def _groups(
    data: AnnData | MuData, groupby: str | None, indices: np.ndarray, cells: Cells, source: str
) -> _Groups:
    """Return the cells that have the source and a group; count the others in the log."""
    names, codes = ["all"], np.zeros(cells.n_cells, int)
    if groupby is not None:
        found = as_groups(obs_column(data, groupby, "groupby="))
        names, codes = list(found.categories), found.codes.astype(int)
    has = cells.measured[source][indices] & (codes[indices] >= 0)
    if not has.any():
        msg = (
            f"Expected cells with {source}{' and a group' if groupby else ''}, found none among "
            f"{len(indices)}. Pass other cells in indices=, or another source=."
        )
        raise ValueError(msg)
    if not has.all():
        logger.info(
            "%d of %d cells have no %s or no group and are left out.",
            int((~has).sum()),
            len(has),
            source,
        )
    kept = indices[has]
    return _Groups(names, kept, codes[kept])


def _labels(data: AnnData | MuData, key: str | None) -> np.ndarray:
    """Return the label of each cell as text, None where there is none."""
    if key is None:
        msg = (
            "Expected labels_key= for target=('obs', label), found None. Pass the column of obs "
            "with the labels."
        )
        raise ValueError(msg)
    column = obs_column(data, key, "labels_key=")
    return np.array([None if pd.isna(v) else as_text(v) for v in column], object)


def _average(
    model: SCMOMER,
    source: str,
    cells: Cells,
    groups: _Groups,
    readout: Readout,
    baseline: str,
    tokens: bool,
    n_steps: int,
    batch_size: int | None,
    progress: bool,
) -> Attributions:
    network = PathNetwork(model.module.eval(), source, tokens)
    n_groups = len(groups.names)
    if baseline == "group_mean":
        start = average_cell(network, cells, groups.cells, groups.codes, n_groups, batch_size)
        network = PathNetwork(model.module, source, tokens, start)
    integrator = Integrator(network, cells, batch_size, progress)
    return integrator.average(groups.cells, groups.codes, n_groups, readout, n_steps)


def _warn_if_incomplete(found: Attributions, target: Target) -> None:
    worst = int(found.error.argmax())
    if found.error[worst] > MAX_ERROR:
        warn(
            f"Attributions of {target.names[worst]!r} miss the change of the prediction by "
            f"{found.error[worst]:.1%} (expected: at most {MAX_ERROR:.0%}) with {found.n_steps} "
            f"steps. Pass n_steps={4 * found.n_steps}, or another baseline=."
        )


def _write(
    data: AnnData | MuData,
    model: SCMOMER,
    found: Attributions,
    target: Target,
    groups: _Groups,
    params: dict[str, Any],
    key: str,
) -> None:
    source = params["source"]
    part = find_parts(data, model.spec)[source]
    columns = np.arange(part.adata.n_vars) if part.columns is None else part.columns.nonzero()[0]
    rows = model.spec.features[source].get_indexer(part.names)
    for name, values in ((key, found.mean), (f"{key}_absolute", found.absolute)):
        values = np.where(found.n_cells[:, None] > 0, values, np.nan)
        table = np.full((part.adata.n_vars, *values.shape[1::-1]), np.nan, np.float32)
        table[columns[rows >= 0]] = values.T[rows[rows >= 0]]
        part.adata.varm[name] = table[..., 0] if target.is_single else table
    part.adata.uns[key] = as_stored(
        {
            "params": params,
            "groups": groups.names,
            "targets": target.names,
            "n_cells": found.n_cells,
            "value": found.value.T,
            "baseline_value": found.baseline_value.T,
            "error": found.error,
            "n_steps": found.n_steps,
        }
    )
