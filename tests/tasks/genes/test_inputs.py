"""Embeddings of genes from tables, genes x dim and varm."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scmomer.tasks.genes import read_embeddings

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)
NAMES = ["A", "B", "C", "D"]


def read(embeddings, group=None):
    return read_embeddings(embeddings, "X_scmomer", group)


def cells(values=VECTORS) -> AnnData:
    """Five cells x 4 genes, with embeddings."""
    counts = np.array([[1, 0, 0, 4], [2, 0, 3, 0], [3, 0, 0, 2], [5, 0, 0, 0], [0, 0, 0, 0]])
    adata = AnnData(sp.csr_matrix(counts, dtype=np.float32))
    adata.var_names = NAMES
    adata.varm["X_scmomer"] = values
    return adata


def genes_by_dim() -> AnnData:
    adata = AnnData(VECTORS.copy())
    adata.obs_names = NAMES
    return adata


@pytest.mark.parametrize(
    "make",
    [
        lambda: pd.DataFrame(VECTORS, index=NAMES),
        genes_by_dim,
        cells,
        lambda: MuData({"rna": cells(), "atac": AnnData(np.ones((5, 2)))}),
    ],
    ids=["table", "genes", "cells", "mudata"],
)
@pytest.mark.filterwarnings("ignore")
def test_every_form_gives_the_same_vectors(make):
    found = read(make())
    assert found.names.tolist() == NAMES and found.vectors.dtype == np.float32
    assert np.array_equal(found.vectors, VECTORS) and found.dim == 3


def test_mean_and_detection_come_from_obs_or_counts():
    adata = genes_by_dim()
    assert read(adata).mean is None
    adata.obs["mean"], adata.obs["detection"] = [1, 2, 3, 4], 0.5
    assert read(adata).mean.tolist() == [1, 2, 3, 4] and read(adata).detection.tolist() == [0.5] * 4
    found = read(cells())
    assert np.allclose(found.detection, [0.8, 0, 0.2, 0.4])
    # The median total of cells with counts is 5; the second cell has 2 and 3
    by_hand = np.log1p([[1, 0, 0, 4], [2, 0, 3, 0], [3, 0, 0, 2], [5, 0, 0, 0], [0, 0, 0, 0]]).mean(
        0
    )
    assert np.allclose(found.mean, by_hand)
    logged = cells()
    logged.X = logged.X.multiply(0.3).tocsr()
    assert np.allclose(read(logged).mean, logged.X.toarray().mean(0))
    logged.X = logged.X.toarray() - 1  # scaled
    assert read(logged).mean is None and read(logged).detection is None


def test_genes_without_a_vector_are_left_out_and_counted(caplog):
    values = VECTORS.copy()
    values[1] = np.nan
    with caplog.at_level(logging.INFO, "scmomer"):
        found = read(cells(values))
    assert found.names.tolist() == ["A", "C", "D"] and len(found.mean) == 3
    assert "1 of 4 genes have no embedding (NaN)" in caplog.text


def test_groups_are_chosen_by_name(refuses):
    adata = cells(np.stack([VECTORS, VECTORS + 100], axis=2))
    adata.uns["scmomer_gene_embeddings"] = {"X_scmomer": {"groups": ["L2/3", "Astro"]}}
    assert np.array_equal(read(adata, "Astro").vectors, VECTORS + 100)
    with refuses(ValueError, "group=", "['L2/3', 'Astro']", "Pass group='L2/3'"):
        read(adata)
    with refuses(ValueError, "'Oligo'"):
        read(adata, "Oligo")
    with refuses(ValueError, "genes x dim x groups", "Leave out group="):
        read(cells(), "Astro")
    for other in (genes_by_dim(), pd.DataFrame(VECTORS, index=NAMES)):
        with refuses(ValueError, "Leave out group="):
            read(other, "Astro")


def test_repeated_names_need_equal_vectors(refuses, caplog):
    table = pd.DataFrame(VECTORS[[0, 1, 1, 2]], index=["A", "B", "B", "C"])
    with caplog.at_level(logging.INFO, "scmomer"):
        assert read(table).names.tolist() == ["A", "B", "C"]
    assert "1 repeated genes with equal vectors" in caplog.text
    table.index = ["A", "A", "B", "C"]
    with refuses(ValueError, "1 names with several", "'A'", "embeddings[~embeddings.index.dup"):
        read(table)
    embeddings = table[~table.index.duplicated()]  # as the message says
    assert read(embeddings).names.tolist() == ["A", "B", "C"]
    adata = cells()
    adata.var_names = ["A", "A", "B", "C"]
    with refuses(
        ValueError, "`embeddings = embeddings[:, ~embeddings.var_names.duplicated()].copy()`"
    ):
        read(adata)
    assert len(read(adata[:, ~adata.var_names.duplicated()].copy()).names) == 3


def test_what_is_no_embedding_is_refused(refuses):
    with refuses(KeyError, "varm['X_scmomer']", "scmomer.tl.gene_embeddings(embeddings, model)"):
        read(AnnData(sp.csr_matrix(VECTORS)))
    with refuses(TypeError, "DataFrame or an AnnData", "ndarray"):
        read(VECTORS)
    with refuses(TypeError, "numbers in embeddings", "index"):
        read(pd.DataFrame({"gene": NAMES, "x": 1.0}))
    with refuses(ValueError, "finite values", "1 infinite", "NaN"):
        read(pd.DataFrame([[np.inf, 0.0], [1, 2]], index=["A", "B"]))
    with refuses(ValueError, "only NaN"):
        read(pd.DataFrame(np.full((2, 2), np.nan), index=["A", "B"]))
    mdata = MuData({"atac": AnnData(np.ones((2, 2)))})
    with refuses(ValueError, "RNA in embeddings", "['atac']"):
        read(mdata)
