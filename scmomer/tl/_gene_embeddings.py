"""Write embeddings of genes into a container."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from anndata import AnnData
from mudata import MuData

from scmomer._constants import KEYS, RNA
from scmomer.data import Layers, check_container, display_name, keys_in
from scmomer.model import SCMOMER, GeneSource, resolve_model
from scmomer.tl._copy import Container, own
from scmomer.tl._record import as_stored, record

logger = logging.getLogger(__name__)


def gene_embeddings(
    data: Container,
    model: SCMOMER | str | Path | None = None,
    *,
    groupby: str | None = None,
    key_added: str = KEYS.OBSM,
    source: GeneSource = "contextual",
    batch_size: int | None = None,
    enable_progress_bar: bool = True,
    copy: bool = False,
    **layers: Unpack[Layers],
) -> Container | None:
    """Embed genes: what the RNA encoder makes of each of them in the context of its cells.

    An output token of the encoder depends on the gene, on how strongly it is expressed and on the
    other genes of the cell. Tokens are averaged over the cells that express the gene, while cells
    stream by: memory does not depend on their number, time is proportional to it.

    Parameters
    ----------
    data
        AnnData or MuData with raw counts of RNA. Genes are matched to the model's by name.
    model
        Trained model, or the path of a saved one; None for the last one trained or loaded.
    groupby
        Column of obs: one embedding for each group of cells, in place of one for all. Cells without
        a group are left out.
    key_added
        Key in ``varm``.
    source
        ``"contextual"``, or ``"table"`` for the vector with which every token of the gene begins
        (published scBERT: Gene2vec; an MLP encoder: its input weights).
    batch_size
        Minibatch size, default :attr:`scvi.settings.batch_size`. Does not change results.
    enable_progress_bar
        Show a progress bar over cells.
    copy
        Modify and return a copy of `data`.
    layers
        As in :func:`embed`.

    Returns
    -------
    AnnData | MuData | None
        None, or the copy if `copy`. Adds to ``data`` or its RNA:

        ``varm[key_added]``
            Embeddings, ``(n_vars, dim)``, float32; with `groupby` ``(n_vars, dim, n_groups)``. NaN
            for genes that no cell (of the group) expresses or the model does not have.
        ``varm[key_added + "_n_cells"]``
            Cells that express the gene, ``(n_vars, 1)`` or ``(n_vars, n_groups)``. Not for
            ``"table"``.
        ``uns["scmomer_gene_embeddings"][key_added]``
            ``model_id``, ``source``, and with `groupby` ``groupby`` and ``groups``, the names in
            the order of the last axis.

    Raises
    ------
    RuntimeError
        If there is no model, or it is not trained.
    ValueError
        If the model has no such embeddings, or no gene is shared.
    KeyError
        If the column does not exist.

    See Also
    --------
    scmomer.SCMOMER.get_gene_embeddings : An AnnData of genes x dimensions, for scanpy.

    Notes
    -----
    Where few cells express a gene, the mean is uncertain; compare groups with
    :func:`gene_variability`, which corrects for that.

    Examples
    --------
    >>> scmomer.tl.gene_embeddings(adata, model)
    >>> adata.varm["X_scmomer"]
    >>> genes = model.get_gene_embeddings(adata)
    >>> sc.pp.neighbors(genes, use_rep="X")
    """
    model = resolve_model(model)
    check_container(data)
    rna_of(data, model)  # raises before the work
    found = model.get_gene_embeddings(
        data,
        groupby=groupby,
        source=source,
        batch_size=batch_size,
        enable_progress_bar=enable_progress_bar,
        **layers,
    )
    data = own(data, copy)
    target = rna_of(data, model)
    rows = model.module.rna.rows_in(target.var_names, found.obs_names)
    if (rows < 0).all():
        msg = (
            f"Expected genes of the model in {display_name(data)}, found none. Align them first: "
            "`scmomer.pp.align_genes(adata, model)`."
        )
        raise ValueError(msg)
    if unknown := int((rows < 0).sum()):
        logger.info("%d of %d genes are not in the model; NaN.", unknown, len(rows))
    values = found.X if groupby is None else found.obsm["groups"]
    target.varm[key_added] = _rows_of(np.asarray(values, np.float32), rows)
    params: dict[str, Any] = {"groupby": groupby, "source": source, "key_added": key_added}
    info = {"model_id": model.id, "source": source}
    target.varm.pop(f"{key_added}_n_cells", None)  # of a former call
    if source == "contextual":
        n_cells = found.obs[["n_cells"]] if groupby is None else found.obsm["n_cells"]
        counts = np.where(rows[:, None] < 0, 0, np.asarray(n_cells)[rows])
        target.varm[f"{key_added}_n_cells"] = counts
    if groupby is not None:
        info |= {"groupby": groupby, "groups": as_stored(found.uns["groups"])}
    others = target.uns.get(KEYS.GENES_UNS, {})
    target.uns[KEYS.GENES_UNS] = {**others, key_added: info}
    record(data, model, "gene_embeddings", **params)
    return data if copy else None


def rna_of(data: AnnData | MuData, model: SCMOMER) -> AnnData:
    """Return the AnnData whose ``varm`` is to be written.

    Raises
    ------
    KeyError
        If a MuData has no RNA.
    """
    if isinstance(data, AnnData):
        return data
    key = keys_in(data, model.spec).get(RNA)
    if key is None:
        msg = f"Expected RNA in the MuData, found {sorted(data.mod)}. Pass data with genes."
        raise KeyError(msg)
    return data[key]


def _rows_of(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return some rows, NaN where they are -1."""
    out = values[rows]
    out[rows < 0] = np.nan
    return out
