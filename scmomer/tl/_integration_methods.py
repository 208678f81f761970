"""Embeddings of other methods, from RNA counts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scmomer._constants import ATAC, RNA
from scmomer.data import check_one_modality, examples, get_counts, looks_like, usual_keys

Method = Literal["pca", "harmony", "scvi"]
NAMES: dict[Method, str] = {"pca": "PCA", "harmony": "Harmony", "scvi": "SCVI"}
_N_COMPS = 50
_N_TOP_GENES = 2000
_TARGET = 1e4  # counts per cell before the logarithm


def check_methods(methods: str | Sequence[str]) -> tuple[Method, ...]:
    """Return the requested methods; raise if one is unknown or not installed."""
    chosen = (methods,) if isinstance(methods, str) else tuple(dict.fromkeys(methods))
    if unknown := [name for name in chosen if name not in get_args(Method)]:
        msg = f"Expected methods among {list(get_args(Method))}, found {unknown}."
        raise ValueError(msg)
    if "harmony" in chosen and find_spec("harmonypy") is None:
        msg = (
            "harmonypy is not installed (needed for methods=['harmony']). Install it with: "
            "pip install harmonypy"
        )
        raise ImportError(msg)
    return chosen  # type: ignore[return-value]


def make_embeddings(
    data: AnnData | MuData,
    methods: Sequence[Method],
    batch: pd.Series,
    layer: str | None = None,
    max_epochs: int | None = None,
) -> dict[str, np.ndarray]:
    """Return the embedding of each method by name, ``(n_cells, n_dims)``.

    Parameters
    ----------
    data
        AnnData of RNA, or MuData with RNA of every cell.
    methods
        Methods, in this order.
    batch
        Batch of each cell, ``(n_cells,)``.
    layer, max_epochs
        As in :func:`scmomer.tl.integration_report`.

    Raises
    ------
    KeyError
        If there is no RNA.
    ValueError
        If a cell has no RNA, or values are not counts.
    """
    if not methods:
        return {}
    counts = _rna_counts(data, layer)
    found: dict[str, np.ndarray] = {}
    pcs = principal_components(counts) if {"pca", "harmony"} & set(methods) else None
    for method in methods:
        if method == "scvi":
            z = _scvi(counts, batch, max_epochs)
        else:
            assert pcs is not None
            z = pcs if method == "pca" else _harmony(pcs, batch)
        found[NAMES[method]] = np.asarray(z, np.float32)
    return found


def _rna_counts(data: AnnData | MuData, layer: str | None) -> sp.csr_matrix:
    """Return raw RNA counts of every cell, ``(n_cells, n_genes)``."""
    keys = usual_keys(data, RNA) if isinstance(data, MuData) else []
    if isinstance(data, MuData) and not keys:
        msg = (
            f"Expected modality {RNA!r} for methods=, found {sorted(data.mod)}. Pass methods=() to "
            "score embeddings of obsm alone."
        )
        raise KeyError(msg)
    rna, where = (data[keys[0]], f"mdata[{keys[0]!r}]") if keys else (data, "adata")
    check_one_modality(rna, where, RNA, layer)
    if looks_like(rna) == ATAC:
        msg = (
            f"Expected genes for methods=, found peaks ({examples(rna.var_names)}). Pass "
            "methods=() to score embeddings of obsm alone."
        )
        raise ValueError(msg)
    if not rna.obs_names.equals(data.obs_names):
        msg = (
            f"Expected RNA of all {data.n_obs} cells for methods=, found {rna.n_obs} cells. Pass "
            f"methods=(), or the cells that have RNA: `mdata = mdata[{where}.obs_names].copy()`."
        )
        raise ValueError(msg)
    return get_counts(rna, layer, where)


def principal_components(counts: sp.csr_matrix) -> np.ndarray:
    """Return principal components of log-normalized counts of the most variable genes."""
    import scanpy as sc  # slow to import, rarely needed

    adata = AnnData(counts.astype(np.float32))
    sc.pp.normalize_total(adata, target_sum=_TARGET)
    sc.pp.log1p(adata)
    if adata.n_vars > _N_TOP_GENES:
        sc.pp.highly_variable_genes(adata, n_top_genes=_N_TOP_GENES)
        adata = adata[:, adata.var["highly_variable"]].copy()
    n_comps = min(_N_COMPS, min(adata.shape) - 1)
    sc.pp.pca(adata, n_comps=n_comps, random_state=0, mask_var=None)
    return adata.obsm["X_pca"]


def _harmony(pcs: np.ndarray, batch: pd.Series) -> np.ndarray:
    import harmonypy

    obs = pd.DataFrame({"batch": batch.to_numpy()})
    found = np.asarray(harmonypy.run_harmony(pcs.astype(np.float64), obs, ["batch"]).Z_corr)
    return found if found.shape == pcs.shape else found.T  # older versions: components x cells


def _scvi(counts: sp.csr_matrix, batch: pd.Series, max_epochs: int | None) -> np.ndarray:
    from scvi.model import SCVI

    adata = AnnData(counts, obs=pd.DataFrame({"batch": batch.astype("category")}))
    SCVI.setup_anndata(adata, batch_key="batch")
    model = SCVI(adata)
    model.train(max_epochs=max_epochs, enable_progress_bar=False)
    return model.get_latent_representation()
