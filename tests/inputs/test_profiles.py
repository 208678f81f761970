"""RNA that is not counts in every function that reads cells; set-up, training and files."""

from __future__ import annotations

from typing import Any

import numpy as np
import scanpy as sc
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs

CLASSIFIER = {"n_members": 1, "max_epochs": 5}


def logged(adata, base: float | None = None):
    """Log-normalized expression in X, and nothing else."""
    adata = adata.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata, base=base)
    return adata


def scaled(adata):
    """Z-scores in X."""
    adata = logged(adata)
    sc.pp.scale(adata)
    return adata


def corrected(adata, seed: int = 0):
    """Log-normalized expression from which counts cannot be recovered."""
    adata = logged(adata)
    rng = np.random.default_rng(seed)
    adata.X.data *= rng.uniform(0.9, 1.1, len(adata.X.data)).astype(np.float32)
    return adata


def with_rna(mdata: MuData, change) -> MuData:
    mdata = mdata.copy()
    mdata.mod["rna"] = change(mdata["rna"])
    with keep_obs():
        mdata.update()
    return mdata


# -- verbs


def _written(function, data, *args, key: str, at: str = "obsm", **kwargs) -> Any:
    function(data, *args, **kwargs)
    return getattr(data, at)[key]


VERBS = {
    "embed": lambda d, m, ref, **k: _written(scmomer.tl.embed, d, m, key="X_scmomer", **k),
    "latent": lambda d, m, ref, **k: m.get_latent_representation(d, **k),
    "translated": lambda d, m, ref, **k: m.get_translated(d, **k),
    "translate_atac": lambda d, m, ref, **k: scmomer.tl.translate_atac(d, m, **k).X,
    "gene_embeddings": lambda d, m, ref, **k: m.get_gene_embeddings(d, **k).X,
    "tl_gene_embeddings": lambda d, m, ref, **k: _written(
        scmomer.tl.gene_embeddings, d, m, key="X_scmomer", at="varm", **k
    ),
    "annotate": lambda d, m, ref, **k: _written(
        scmomer.tl.annotate,
        d,
        ref,
        labels_key="cell_type",
        model=m,
        key="scmomer_label_probability",
        **k,
    ),
    "map": lambda d, m, ref, **k: _written(
        scmomer.tl.map_to_reference,
        d,
        ref,
        m,
        labels_key="cell_type",
        key="reference_probabilities",
        **k,
    ),
    "attribute": lambda d, m, ref, **k: _written(
        scmomer.tl.attribute,
        d,
        m,
        target="atac",
        features=m.spec.features["atac"][:2],
        n_steps=4,
        key="scmomer_attribution",
        at="varm",
        **k,
    ),
    "links": lambda d, m, ref, **k: scmomer.tl.peak_gene_links(d, m, copy=True, **k),
    "load_query": lambda d, m, ref, **k: m.load_query_data(d, batch_key="new", **k).get_translated(
        ref["rna"], "rna", batch="b"
    ),
    "fit": lambda d, m, ref, **k: (
        scmomer.CellTypeClassifier(m, **CLASSIFIER)
        .fit(d, "cell_type", **k)
        .predict_proba(ref["rna"])
    ),
    "predict": lambda d, m, ref, **k: (
        scmomer.CellTypeClassifier(m, **CLASSIFIER).fit(ref, "cell_type").predict_proba(d, **k)
    ),
}
QUERY_OF_TWO = ("annotate", "map", "load_query", "predict")
