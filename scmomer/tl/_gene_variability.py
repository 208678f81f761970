"""Genes whose embedding differs between groups of cells."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NoReturn, Unpack

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from scmomer._checks import whole_number
from scmomer.data import Layers, as_text, check_container, codes, get_categories, obs_column
from scmomer.model import SCMOMER, resolve_model
from scmomer.tasks.genes import combine, equal_cells, variability
from scmomer.tl._copy import Container, own
from scmomer.tl._gene_embeddings import rna_of
from scmomer.tl._record import record

logger = logging.getLogger(__name__)

_SHOWN = 10  # groups in a message


def gene_variability(
    data: Container,
    groupby: str,
    model: SCMOMER | str | Path | None = None,
    *,
    batch_key: str | None = None,
    min_cells: int = 5,
    min_group: int = 30,
    max_cells: int | None = None,
    key_added: str = "gene_variability",
    seed: int = 0,
    batch_size: int | None = None,
    enable_progress_bar: bool = True,
    copy: bool = False,
    **layers: Unpack[Layers],
) -> Container | None:
    r"""Measure how far the embedding of each gene moves between groups of cells.

    Of each group the same number of cells is drawn. With the mean token :math:`m_k` of a gene over
    the :math:`n_k` cells of group :math:`k` that express it, and the variance :math:`v_k` of these
    tokens, its variability is

    .. math::

        \frac{1}{K - 1} \sum_k \lVert m_k - \bar m \rVert^2 - \frac{1}{K} \sum_k \frac{v_k}{n_k}

    The second term is what so few cells add by chance: an embedding does not vary because few cells
    express the gene. Around 0 for a gene that is used alike in all groups.

    Parameters
    ----------
    data
        AnnData or MuData with raw counts of RNA.
    groupby
        Column of obs with at least 2 groups, such as cell types.
    model
        Trained model with ``rna_encoder="performer"``, or the path of a saved one; None for the
        last one trained or loaded.
    batch_key
        Column of obs with samples: variability is measured within each of them and averaged, which
        gives a standard error and keeps differences between samples out.
    min_cells
        Cells of a group (and batch) that must express a gene, at least 2.
    min_group
        Groups with fewer cells (in a batch) take no part: the smallest one decides how many cells
        are drawn.
    max_cells
        Most cells to draw of each group and batch; None for the number of the smallest.
    key_added
        Key in ``varm``.
    seed
        Of the draw of cells.
    batch_size, enable_progress_bar, copy, layers
        As in :func:`gene_embeddings`.

    Returns
    -------
    AnnData | MuData | None
        None, or the copy if `copy`. Adds to ``data`` or its RNA:

        ``varm[key_added]``
            DataFrame, a row for each gene: ``variability``; ``se``, its standard error over batches
            (NaN without `batch_key` or with one batch); ``share`` of the variance between cells that
            lies between groups, at most 1; ``n_groups`` in which the gene was seen often enough
            (mean over batches); ``n_batches``; and ``detection``, the share of the drawn cells that
            express it. ``variability`` is NaN with fewer than 2 groups.

    Raises
    ------
    ValueError
        If fewer than 2 groups have enough cells; if the model has no gene tokens.
    KeyError
        If a column does not exist.

    Notes
    -----
    The Spearman correlation of variability with detection is logged: the encoder reads expression,
    so a gene that is expressed in one group only moves, and so does its detection.

    Examples
    --------
    >>> scmomer.tl.gene_variability(adata, "cell_type", model, batch_key="batch")
    >>> adata.varm["gene_variability"].sort_values("variability", ascending=False).head()
    """
    model = resolve_model(model)
    check_container(data)
    rna_of(data, model)
    min_cells, min_group = (
        whole_number("min_cells", min_cells),
        whole_number("min_group", min_group),
    )
    if min_cells < 2:
        msg = f"Expected min_cells of at least 2, found {min_cells}. One cell has no variance."
        raise ValueError(msg)
    if max_cells is not None and max_cells < min_cells:
        msg = (
            f"Expected max_cells of at least min_cells={min_cells}, found {max_cells}. Raise it, "
            "or pass None for as many as the smallest group has."
        )
        raise ValueError(msg)
    column = obs_column(data, groupby, "groupby=").reindex(data.obs_names)
    names = get_categories(column)
    groups, batches = codes(column, names), np.zeros(data.n_obs, np.int64)
    if batch_key is not None:
        samples = obs_column(data, batch_key, "batch_key=").reindex(data.obs_names)
        batches = codes(samples, get_categories(samples))
    draws = equal_cells(groups, batches, max(min_group, min_cells), max_cells, seed)
    if not draws:
        _raise_few(column, groupby, batch_key, min_group)
    used = np.unique(groups[np.concatenate(draws)])
    if small := [name for code, name in enumerate(names) if code not in used]:
        logger.info("Groups of fewer than %d cells are left out: %s.", min_group, small)
    parts, detection = [], []
    for cells in draws:
        drawn = np.full(data.n_obs, -1)
        drawn[cells] = groups[cells]
        labels = pd.Categorical.from_codes(drawn, names)
        found = model.get_gene_embeddings(
            data,
            groupby=pd.Series(labels, index=data.obs_names),
            indices=cells,
            batch_size=batch_size,
            enable_progress_bar=enable_progress_bar,
            **layers,
        )
        mean, variance, n_cells = (
            np.asarray(found.obsm[key]) for key in ("groups", "variance", "n_cells")
        )
        parts.append(variability(mean, variance, n_cells, min_cells))
        detection.append(found.obs["detection"])
    table = combine(parts, found.obs_names)
    table["detection"] = np.mean(detection, axis=0)
    known = table["variability"].notna()
    rho = spearmanr(table["variability"][known], table["detection"][known]).statistic
    logger.info(
        "%d of %d genes were seen in at least 2 groups; Spearman correlation of their variability "
        "with detection: %.2f.",
        known.sum(),
        len(table),
        rho,
    )
    data = own(data, copy)
    target = rna_of(data, model)
    rows = model.module.rna.rows_in(target.var_names, found.obs_names)
    table = table.iloc[rows].set_axis(target.var_names)
    table[rows < 0] = np.nan
    target.varm[key_added] = table
    params = {
        "groupby": groupby,
        "batch_key": batch_key,
        "min_cells": min_cells,
        "min_group": min_group,
    }
    record(data, model, "gene_variability", **params, key_added=key_added)
    return data if copy else None


def _raise_few(column: pd.Series, groupby: str, batch_key: str | None, min_group: int) -> NoReturn:
    within, remedy, sizes = "", "", column.map(as_text, na_action="ignore").value_counts()
    shown = ", ".join(f"{name!r} {n}" for name, n in sizes.iloc[:_SHOWN].items()) or "none"
    more = f" and {len(sizes) - _SHOWN} smaller ones" if len(sizes) > _SHOWN else ""
    if batch_key is not None:
        within, remedy = f" within a batch of {batch_key!r}", ", leave out batch_key="
    msg = (
        f"Expected at least 2 groups of {min_group} cells in {groupby!r}{within}, found "
        f"{shown}{more}, counting all cells. Lower min_group={remedy} or merge groups."
    )
    raise ValueError(msg)
