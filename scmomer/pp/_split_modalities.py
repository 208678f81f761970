"""Split matrices of several modalities; drop cells that were not measured."""

from __future__ import annotations

import logging
from typing import TypeVar, Unpack

import numpy as np
from anndata import AnnData
from mudata import MuData

from scmomer._compat import keep_obs
from scmomer.data import (
    Layers,
    check_container,
    check_unique,
    describe,
    layers_by_modality,
    looks_like,
    modality_masks,
    modality_named,
    read_counts,
)
from scmomer.module import MODALITY_TYPES

logger = logging.getLogger(__name__)
Container = TypeVar("Container", AnnData, MuData)


def split_modalities(adata: AnnData, *, layer: str | None = None) -> MuData:
    """Split one AnnData of several modalities into a MuData.

    For multi-modal 10x files read by scanpy, the result of ``scvi.data.organize_multiome_anndatas``
    and CITE-seq in one matrix. A cell without counts of a modality counts as not measured and is
    left out of it. :func:`mudata.MuData` also splits by feature type but keeps such cells as zeros.

    Parameters
    ----------
    adata
        Raw counts of genes, peaks and proteins side by side, distinguished by
        ``var["feature_types"]`` or ``var["modality"]`` (``"Gene Expression"``, ``"Peaks"``,
        ``"Antibody Capture"``, ...), otherwise by whether names are genomic intervals. Not
        modified.
    layer
        Layer with the counts; None for ``X``.

    Returns
    -------
    MuData
        The modalities found among ``"rna"``, ``"atac"`` and ``"protein"``, with the obs, obsm and
        layers of `adata`. The MuData has the same obs. Features of other types, such as guides,
        are left out.

    Raises
    ------
    TypeError
        If `adata` is not an AnnData.
    KeyError
        If the layer does not exist.
    ValueError
        If values are not raw counts.

    Examples
    --------
    >>> adata = sc.read_10x_h5("filtered_feature_bc_matrix.h5", gex_only=False)
    >>> adata.var_names_make_unique()
    >>> mdata = scmomer.pp.split_modalities(adata)
    >>> scmomer.pp.setup_mudata(mdata)
    """
    if not isinstance(adata, AnnData):
        msg = (
            f"Expected an AnnData of several modalities, found {type(adata).__name__}. A MuData is "
            "already split."
        )
        raise TypeError(msg)
    check_unique(adata.obs_names, "adata.obs_names")  # a MuData matches cells by name
    if adata.isbacked:
        adata = adata.to_memory()
    counts = read_counts(adata, layer, "adata").tocsc()
    parts = modality_masks(adata)
    found: dict[str, AnnData] = {}
    for modality, columns in parts.items():
        part = counts[:, np.flatnonzero(columns)]
        has = np.asarray(abs(part).sum(axis=1)).ravel() > 0
        if not has.all():
            logger.info(
                "%d of %d cells have no counts of %s and are left out there.",
                int((~has).sum()),
                adata.n_obs,
                MODALITY_TYPES[modality].feature_name,
            )
        found[modality] = _without_registration(adata[has, columns].copy())
    n_others = adata.n_vars - int(np.sum(list(parts.values())))
    if n_others:
        logger.info("%d features of other types are left out (%s kept).", n_others, describe(parts))
    return _join(found, adata)


def drop_unmeasured(data: Container, **layers: Unpack[Layers]) -> Container:
    """Drop cells without counts, where zeros stand for "not measured".

    MULTIVI and TOTALVI expect zeros for a modality that was not measured. Here such a cell is
    absent from the modality, so that it does not contribute to its training.

    Parameters
    ----------
    data
        MuData, or AnnData of one modality, with raw counts. Not modified.
    layers
        ``layer=`` (AnnData) or ``rna_layer=``, ``atac_layer=``, ``protein_layer=`` (MuData): layer
        with the raw counts, default ``X``.

    Returns
    -------
    AnnData | MuData
        A copy. In a MuData, each modality loses the cells that have no counts in it; cells with
        counts in any modality are kept, in their order.

    Raises
    ------
    TypeError
        If `data` is neither AnnData nor MuData.
    KeyError
        If the layer does not exist.
    ValueError
        If values are not raw counts.

    Examples
    --------
    >>> mdata = scmomer.pp.drop_unmeasured(mdata)
    >>> scmomer.pp.setup_mudata(mdata)
    """
    check_container(data)
    named = layers_by_modality(data, layers)
    if isinstance(data, AnnData):
        adata = data.to_memory() if data.isbacked else data
        return adata[_has_counts(adata, layers.get("layer"), "adata")].copy()
    found = {}
    for key, adata in data.mod.items():
        modality = modality_named(key) or looks_like(adata)
        has = _has_counts(adata, named.get(modality), f"mdata[{key!r}]", f"{modality}_layer")
        found[key] = adata[has].to_memory() if adata.isbacked else adata[has].copy()
    return _join(found, data)


def _has_counts(
    adata: AnnData, layer: str | None, where: str, argument: str = "layer"
) -> np.ndarray:
    """Return which cells have a count, ``(n_obs,)`` bool."""
    counts = read_counts(adata, layer, where, argument)
    return np.asarray(counts.sum(axis=1)).ravel() > 0


def _without_registration(adata: AnnData) -> AnnData:
    """Drop the ids of a registration with scvi-tools, which had other features."""
    for key in [key for key in adata.uns if key.startswith("_scvi_")]:
        del adata.uns[key]
    return adata


def _join(parts: dict[str, AnnData], source: AnnData | MuData) -> MuData:
    """Return a MuData of the cells in any part, in the order and with the obs of `source`."""
    some = np.any([source.obs_names.isin(part.obs_names) for part in parts.values()], axis=0)
    with keep_obs():
        return MuData(parts, obs=source.obs[some].copy())
