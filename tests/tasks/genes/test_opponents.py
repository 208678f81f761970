"""Genes that all embeddings have."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer.tasks.genes import NameTables, shared_genes


def test_vectors_are_in_the_order_of_the_embedding(genes, table):
    other = table.iloc[:50].sample(frac=1, random_state=0).rename(index=str.lower) * 2
    shared, found = shared_genes(genes, {"other": other}, NameTables(), "X_scmomer")
    assert shared.names.tolist() == table.index[:50].tolist()
    assert np.allclose(found["other"], 2 * shared.vectors)
    assert shared_genes(genes, None, NameTables(), "X_scmomer")[0] is genes


def test_the_group_is_that_of_opponents_with_groups(genes, table):
    cells = AnnData(np.ones((2, 120), np.float32))
    cells.var_names = table.index
    cells.varm["X_scmomer"] = np.stack([table.to_numpy(), -table.to_numpy()], axis=2)
    cells.uns["scmomer_gene_embeddings"] = {"X_scmomer": {"groups": ["A", "B"]}}
    opponents = {"cells": cells, "table": table}
    _, found = shared_genes(genes, opponents, NameTables(), "X_scmomer", "B")
    assert np.allclose(found["cells"], -found["table"])


def test_opponents_without_a_gene_or_with_a_taken_name_are_refused(genes, table, refuses):
    other = pd.DataFrame(np.eye(3), index=["GENE1", "X", "Y"])
    apart = {"one": other.iloc[:1], "two": table.iloc[5:]}
    with refuses(ValueError, "all opponents share", "one 1, two 115"):
        shared_genes(genes, apart, NameTables(), "X_scmomer")
    with refuses(ValueError, "names of opponents", "['degree']"):
        shared_genes(genes, {"degree": table}, NameTables(), "X_scmomer")
