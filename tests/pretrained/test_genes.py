"""Embeddings of genes from published checkpoints, and the verbs on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.pretrained import load_scbert, load_scmomer
from scmomer.tl import gene_interactions, gene_property


@pytest.fixture(params=["scBERT", "scMomer"])
def published(request, scbert, released, genes):
    load, (path, tensors) = {"scBERT": (load_scbert, scbert), "scMomer": (load_scmomer, released)}[
        request.param
    ]
    return load(path, genes=genes, accelerator="cpu"), tensors


def test_the_table_is_that_of_the_checkpoint(published, genes):
    model, tensors = published
    found = model.get_gene_embeddings(source="table")
    (table,) = (t for name, t in tensors.items() if name.endswith("pos_emb.emb.weight"))
    assert list(found.obs_names) == genes
    assert np.array_equal(found.X, table[: len(genes)].float().numpy())


def test_contextual_embeddings_are_those_of_cells_that_express_a_gene(published, cells):
    model, _ = published
    found = model.get_gene_embeddings(cells)
    shared = found.obs_names.intersection(cells.var_names)
    counts = np.asarray((cells[:, shared].X > 0).sum(0)).ravel()
    assert np.array_equal(found[shared].obs["n_cells"], counts)
    alone = [model.get_gene_embeddings(cells[[i]]).X for i in range(cells.n_obs)]
    seen = found.obs["n_cells"].to_numpy() > 0
    mean = np.nanmean(np.stack(alone)[:, seen], axis=0)
    np.testing.assert_allclose(found.X[seen], mean, rtol=0, atol=1e-4)


def test_properties_and_interactions_of_a_checkpoint(published):
    model, _ = published
    genes = model.get_gene_embeddings(source="table")
    first = genes.X[:, 0]
    labels = pd.Series(first > np.median(first), index=genes.obs_names)
    found = gene_property(genes, labels, repeats=1, cv=3)
    auroc = found.table[found.table["metric"] == "auroc"].set_index("features")["mean"]
    assert auroc["embedding"] > auroc["random"] + 0.2
    names = genes.obs_names.to_numpy()
    pairs = pd.DataFrame({"a": names[:-1], "b": names[1:]})
    table = gene_interactions(
        genes, pairs, split="c1", negatives="uniform", n_splits=2, n_bootstrap=5
    ).table
    assert {"embedding", "random", "degree"} <= {*table["features"]}
