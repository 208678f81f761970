"""One matrix of several modalities, or zeros in place of cells that were not measured."""

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

    For 10x multi-modal files read by scanpy, ``scvi.data.organize_multiome_anndatas`` and CITE-seq
    in one matrix. A cell without any count of a modality was not measured in it and is left out
    there; :func:`mudata.MuData` splits likewise, but keeps such cells as zeros.

    Parameters
    ----------
    adata
        Raw counts of genes, peaks and proteins side by side, told apart by ``var["feature_types"]``
        or ``var["modality"]`` (``"Gene Expression"``, ``"Peaks"``, ``"Antibody Capture"``, ...), else
        by whether names are genomic intervals. Is left as it is.
    layer
        Layer that holds the counts; None for ``X``.

    Returns
    -------
    MuData
        Modalities ``"rna"``, ``"atac"`` and ``"protein"``, those that there are, with obs, obsm
        and layers of `adata`; its obs also as that of the MuData. Features of other types, such as
        guides, are left out.

    Raises
    ------
    TypeError
        If `adata` is no AnnData.
    KeyError
        If there is no such layer.
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
            "split already."
        )
        raise TypeError(msg)
    check_unique(adata.obs_names, "adata.obs_names")  # by which a MuData matches cells
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
    return _joined(found, adata)


def drop_unmeasured(data: Container, **layers: Unpack[Layers]) -> Container:
    """Leave out cells without counts, where zeros stand for "not measured".

    MULTIVI and TOTALVI want a modality that was not measured as zeros. Here a cell lacks it: it is
    absent from the modality, and a model learns nothing from it there.

    Parameters
    ----------
    data
        MuData, or AnnData of one modality, with raw counts. Is left as it is.
    layers
        ``layer=`` (AnnData) or ``rna_layer=``, ``atac_layer=``, ``protein_layer=`` (MuData): where
        counts are; without, in ``X``.

    Returns
    -------
    AnnData | MuData
        A copy. Of a MuData, each modality without the cells that have no counts in it, and the cells
        that have some in any, in their order.

    Raises
    ------
    TypeError
        If `data` is no container.
    KeyError
        If there is no such layer.
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
    return _joined(found, data)


def _has_counts(
    adata: AnnData, layer: str | None, where: str, argument: str = "layer"
) -> np.ndarray:
    """Return which cells have a count, ``(n_obs,)`` bool."""
    counts = read_counts(adata, layer, where, argument)
    return np.asarray(counts.sum(axis=1)).ravel() > 0


def _without_registration(adata: AnnData) -> AnnData:
    """Drop the ids of a registration with scvi-tools, which was of other features."""
    for key in [key for key in adata.uns if key.startswith("_scvi_")]:
        del adata.uns[key]
    return adata


def _joined(parts: dict[str, AnnData], source: AnnData | MuData) -> MuData:
    """Return a MuData of the cells in any part, in the order and with the obs of `source`."""
    some = np.any([source.obs_names.isin(part.obs_names) for part in parts.values()], axis=0)
    with keep_obs():
        return MuData(parts, obs=source.obs[some].copy())
