"""Gene embeddings from a table, an AnnData of genes or the varm of cells."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scmomer._constants import KEYS, RNA
from scmomer.data import examples, modality_named

logger = logging.getLogger(__name__)

Embeddings: TypeAlias = pd.DataFrame | AnnData | MuData


@dataclass(frozen=True)
class GeneVectors:
    """Embeddings of genes that have one, under unique names."""

    names: pd.Index
    """``(n_genes,)``"""
    vectors: np.ndarray
    """float32 ``(n_genes, dim)``"""
    mean: np.ndarray | None
    """Mean log expression ``(n_genes,)``, if known."""
    detection: np.ndarray | None
    """Share of cells that express a gene ``(n_genes,)``, if known."""
    other_names: pd.DataFrame
    """Columns of obs or var, ``(n_genes, n_columns)``; only for messages."""
    where: str
    """Attribute with the names, such as ``embeddings.index``; for messages."""

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.vectors.shape[1]

    def subset(self, genes: np.ndarray) -> GeneVectors:
        """Return some genes, given by a mask or by positions."""
        return replace(
            self,
            names=self.names[genes],
            vectors=self.vectors[genes],
            mean=None if self.mean is None else self.mean[genes],
            detection=None if self.detection is None else self.detection[genes],
            other_names=self.other_names.iloc[genes],
        )


def read_embeddings(
    embeddings: Embeddings, key: str, group: str | None, where: str = "embeddings"
) -> GeneVectors:
    """Return the vectors of genes; genes without one (NaN) are left out and counted.

    Parameters
    ----------
    embeddings
        DataFrame genes x dim, AnnData genes x dim, or cells with ``varm[key]``.
    key
        Key of varm.
    group
        Group of cells, if ``varm[key]`` has the shape genes x dim x groups.
    where
        Name of the argument in messages.

    Raises
    ------
    KeyError, TypeError, ValueError
        If there are no numeric vectors, or genes of one name differ.
    """
    if isinstance(embeddings, pd.DataFrame):
        none = pd.DataFrame(index=range(len(embeddings)))
        values, place = _numeric(embeddings, where), f"{where}.index"
        found = GeneVectors(embeddings.index.astype(str), values, None, None, none, place)
    elif isinstance(embeddings, MuData):
        found = _of_cells(*_rna_of(embeddings, where), key, group)
    elif not isinstance(embeddings, AnnData):
        msg = (
            f"Expected {where} to be a DataFrame or an AnnData of genes x dim, or cells with "
            f"varm[{key!r}], found {type(embeddings).__name__}. An array becomes one by "
            "`pandas.DataFrame(array, index=genes)`."
        )
        raise TypeError(msg)
    elif key in embeddings.varm:
        found = _of_cells(embeddings, where, key, group)
    else:
        found = _of_genes(embeddings, where, key)
    if group is not None and (
        isinstance(embeddings, pd.DataFrame) or found.where.endswith("obs_names")
    ):
        msg = f"Expected varm[{key!r}] with groups for group={group!r}, found vectors without. Leave out group=."
        raise ValueError(msg)
    return _unique(_observed(found))


def _rna_of(mdata: MuData, where: str) -> tuple[AnnData, str]:
    for name, adata in mdata.mod.items():
        if modality_named(name) == RNA:
            return adata, f"{where}[{name!r}]"
    msg = f"Expected RNA in {where}, found modalities {list(mdata.mod)}. Pass the AnnData of genes."
    raise ValueError(msg)


def _of_genes(adata: AnnData, where: str, key: str) -> GeneVectors:
    """Read an AnnData genes x dim."""
    if adata.X is None or sp.issparse(adata.X) or "X_scmomer" in adata.obsm:
        msg = (
            f"Expected varm[{key!r}] in {where}, or an AnnData of genes x dim, found varm with "
            f"{sorted(adata.varm)}. Run `scmomer.tl.gene_embeddings({where}, model)` first."
        )
        raise KeyError(msg)
    mean, detection = (
        adata.obs[c].to_numpy(float) if c in adata.obs else None for c in ("mean", "detection")
    )
    names = adata.obs_names.astype(str)
    values = _numeric(adata.X, where)
    return GeneVectors(
        names, values, mean, detection, adata.obs.reset_index(drop=True), f"{where}.obs_names"
    )


def _of_cells(adata: AnnData, where: str, key: str, group: str | None) -> GeneVectors:
    """Read ``varm[key]`` of cells x genes."""
    if key not in adata.varm:
        msg = (
            f"Expected {key!r} in {where}.varm, found {sorted(adata.varm)}. Run "
            f"`scmomer.tl.gene_embeddings({where}, model)` first, or set key=."
        )
        raise KeyError(msg)
    values = np.asarray(adata.varm[key])
    info = adata.uns.get(KEYS.GENES_UNS, {}).get(key, {})
    groups = [str(g) for g in info.get("groups", [])]
    if values.ndim == 3:
        groups = groups or [str(i) for i in range(values.shape[2])]
        if group is None or str(group) not in groups:
            msg = (
                f"Expected group= to be one of {groups}, as {where}.varm[{key!r}] has one "
                f"embedding for each, found {group!r}. Pass group={groups[0]!r}."
            )
            raise ValueError(msg)
        values = values[:, :, groups.index(str(group))]
    elif group is not None:
        msg = (
            f"Expected {where}.varm[{key!r}] of shape genes x dim x groups for group={group!r}, "
            f"found {values.shape}. Leave out group=, or run scmomer.tl.gene_embeddings with groupby=."
        )
        raise ValueError(msg)
    mean, detection = _expression(adata)
    columns = adata.var.reset_index(drop=True)
    values = _numeric(values, f"{where}.varm[{key!r}]")
    return GeneVectors(
        adata.var_names.astype(str), values, mean, detection, columns, f"{where}.var_names"
    )


def _numeric(values: Any, where: str) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        msg = f"Expected numbers in {where}, found other values. Put names of genes into the index."
        raise TypeError(msg) from None
    if array.ndim != 2 or not array.shape[1]:
        msg = f"Expected {where} of shape genes x dim, found {array.shape}. Pass one row per gene."
        raise ValueError(msg)
    if np.isinf(array).any():
        msg = (
            f"Expected finite values in {where}, found {int(np.isinf(array).sum())} infinite ones. "
            "Replace them by NaN to leave these genes out."
        )
        raise ValueError(msg)
    return array


def _expression(adata: AnnData) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return mean log expression and the share of expressing cells, each ``(n_genes,)``."""
    if adata.X is None or not adata.n_obs:
        return None, None
    x = adata.X if sp.issparse(adata.X) else adata.X[:]  # a backed matrix is read
    x = sp.csr_matrix(x.to_memory() if hasattr(x, "to_memory") else x).astype(np.float64)
    if (x.data < 0).any() or not np.isfinite(x.data).all():
        return None, None  # scaled values tell neither
    detection = np.asarray((x > 0).mean(axis=0)).ravel()
    if (x.data == np.floor(x.data)).all():  # counts
        total = np.asarray(x.sum(axis=1)).ravel()
        scale = np.median(total[total > 0]) / np.maximum(total, 1) if (total > 0).any() else total
        x = (sp.diags(scale) @ x).log1p()
    return np.asarray(x.mean(axis=0)).ravel(), detection


def _observed(found: GeneVectors) -> GeneVectors:
    """Leave out genes with NaN."""
    missing = np.isnan(found.vectors).any(axis=1)
    if missing.all():
        msg = f"Expected vectors of genes in {found.where.rpartition('.')[0]}, found only NaN. Pass others."
        raise ValueError(msg)
    if missing.any():
        logger.info(
            "%d of %d genes have no embedding (NaN) and are left out.", missing.sum(), len(missing)
        )
    return found.subset(~missing)


def _unique(found: GeneVectors) -> GeneVectors:
    """Keep one of several genes with the same name and vector; raise if the vectors differ."""
    again = found.names.duplicated()
    if not again.any():
        return found
    code, _ = pd.factorize(found.names)
    first = np.unique(code, return_index=True)[1]
    differ = (found.vectors != found.vectors[first[code]]).any(axis=1)
    if differ.any():
        msg = (
            f"Expected one vector for each gene name in {found.where}, found "
            f"{found.names[differ].nunique()} names with several (such as "
            f"{examples(found.names[differ].unique())}). Keep the first of each: "
            f"{_keep_first(found.where)}."
        )
        raise ValueError(msg)
    logger.info("%d repeated genes with equal vectors are counted once.", again.sum())
    return found.subset(~again)


def _keep_first(where: str) -> str:
    """Return the line that drops repeats of the names in an attribute."""
    owner, _, attribute = where.rpartition(".")
    lines: dict[str, Callable[[], str]] = {
        "index": lambda: f"{owner} = {owner}[~{where}.duplicated()]",
        "obs_names": lambda: f"{owner} = {owner}[~{where}.duplicated()].copy()",
        "var_names": lambda: f"{owner} = {owner}[:, ~{where}.duplicated()].copy()",
    }
    return f"`{lines[attribute]()}`"
