"""Counts of a gene vocabulary: matched, summed and left out genes, and errors."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from scmomer.pp import align_genes


def cells(names, n=6) -> AnnData:
    """Counts in which all sums of genes are different."""
    counts = (np.arange(1, n + 1)[:, None] * 2 ** np.arange(len(names))).astype(np.float32)
    adata = AnnData(sp.csr_matrix(counts))
    adata.obs_names = [f"cell{i}" for i in range(n)]
    adata.var_names = list(names)
    return adata


def genes_in(aligned) -> list[list[int]]:
    """Return the genes that are summed in each entry, from the counts of the first cell."""
    sums = aligned.X.toarray()[0].astype(int)
    return [[i for i in range(20) if value >> i & 1] for value in sums]


# -- matching


def test_names_are_matched_as_match_genes_does():
    aligned = align_genes(
        cells(["gad1", "Gad1", "ENSG01.2", "AC012345.2"]), ["GAD1", "ENSG01.1", "X"]
    )
    assert genes_in(aligned) == [[0, 1], [2], []]
    assert aligned.var_names.tolist() == ["GAD1", "ENSG01.1", "X"]


def test_the_same_genes_in_any_order_give_the_same_counts(mdata):
    rna = mdata["rna"]
    order = np.random.default_rng(0).permutation(60)
    there = align_genes(rna, rna.var_names[order])
    assert (there.X != rna.X[:, order]).nnz == 0
    back = align_genes(there, rna)
    assert back.var_names.equals(rna.var_names) and (back.X != rna.X).nnz == 0


# -- columns of var


def test_names_come_from_a_column_and_repeats_are_summed():
    adata = cells(["id1", "id2", "id3", "id4", "id5"])
    adata.var["symbol"] = ["A", "B", "A", None, ""]
    assert genes_in(align_genes(adata, ["B", "A", "C"], gene_key="symbol")) == [[1], [0, 2], []]
    adata.var["symbol"] = pd.Categorical(adata.var["symbol"])
    assert genes_in(align_genes(adata, ["B", "A"], gene_key="symbol")) == [[1], [0, 2]]


def test_an_absent_column_is_named_beside_those_present(refuses):
    adata = cells(["A"])
    adata.var["gene_ids"] = "ENSG01"
    with refuses(KeyError, "'symbol'", "adata.var", "['gene_ids']"):
        align_genes(adata, ["A"], gene_key="symbol")


# -- orthologs

TABLE = pd.DataFrame(
    {"mouse": ["Gad1", "Sst", "H2-K1", "H2-D1", "Two", "Two"], "human": list("ABCCDE")}
)


@pytest.mark.parametrize("kind", ["table", "repeated", "mapping"])
def test_orthologs(kind):
    adata = cells(["Gad1", "GAD2", "H2-K1", "H2-D1", "Two", "A"])
    mapping = {"Gad1": "A", "Sst": "B", "H2-K1": "C", "H2-D1": ["C"], "Two": ["D", "E"]}
    orthologs = {"table": TABLE, "repeated": pd.concat([TABLE, TABLE]), "mapping": mapping}[kind]
    aligned = align_genes(adata, ["E", "D", "C", "B", "A", "GAD2"], orthologs=orthologs)
    with pytest.warns(FutureWarning, match="orthologues= is now called orthologs="):
        former = align_genes(adata, aligned, orthologues=orthologs)
    assert np.array_equal(former.X.toarray(), aligned.X.toarray())
    # Several are summed, one with several counts in each; A and GAD2 are not in the table
    assert genes_in(aligned) == [[4], [4], [2, 3], [], [0], []]


def test_names_in_the_table_match_as_all_names_do():
    adata = cells(["ENSMUSG01.4", "SST"])
    table = {"ENSMUSG01": "GAD1", "Sst": "ENSG02"}
    aligned = align_genes(adata, ["Gad1", "ENSG02.3"], orthologs=table)
    assert genes_in(aligned) == [[0], [1]]


def test_pairs_that_lack_a_name_are_left_out():
    table = pd.DataFrame({"a": ["A", "B", None], "b": ["X", np.nan, "Z"]})
    assert genes_in(align_genes(cells(["A", "B", "nan"]), list("XZ"), orthologs=table)) == [
        [0],
        [],
    ]


def test_tables_of_another_form_are_refused(refuses):
    adata = cells(["Gad1"])
    with refuses(ValueError, "two columns", "['mouse', 'human', 'type']", "Select"):
        align_genes(adata, ["A"], orthologs=TABLE.assign(type="one2one"))
    with refuses(TypeError, "DataFrame of two columns or a mapping", "list"):
        align_genes(adata, ["A"], orthologs=[("Gad1", "A")])


@pytest.mark.parametrize("table", [TABLE[["human", "mouse"]], {}], ids=["swapped", "empty"])
def test_a_table_that_leads_nowhere_is_refused(refuses, table):
    with refuses(ValueError, "'A', 'B'", "are in adata, 0 of", "are in the vocabulary", "first"):
        align_genes(cells(["Gad1", "Sst"]), ["A", "B"], orthologs=table)


# -- results


def test_cells_are_kept_and_features_are_new(unchanged):
    adata = cells(["A", "B"])
    adata.obs["batch"], adata.uns["note"] = "a", {"x": [1]}
    adata.obsm["X_pca"], adata.layers["double"] = np.ones((6, 2)), 2 * adata.X
    with unchanged(adata):
        aligned = align_genes(adata, ["B", "C", "A"])
    assert aligned.obs.equals(adata.obs) and aligned.uns["note"] == {"x": [1]}
    assert np.array_equal(aligned.obsm["X_pca"], adata.obsm["X_pca"])
    assert not aligned.layers and aligned.var.shape == (3, 0)
    assert genes_in(align_genes(adata, ["A"], layer="double")) == [[1]]  # twice the first


def test_any_matrix_becomes_csr_of_its_dtype(mdata, as_matrix, unchanged):
    rna = mdata["rna"]
    rna.X = rna.X.astype(bool).astype(np.float32)
    names = rna.var_names.str.upper()[::-1]
    expected = rna.X[:, ::-1].toarray()
    rna.X = as_matrix(rna.X)
    with unchanged(rna):
        found = align_genes(rna, names).X
    assert type(found) is sp.csr_matrix and found.has_sorted_indices and found.data.all()
    assert found.dtype == (np.float32 if rna.X.dtype == np.float16 else rna.X.dtype)
    assert np.array_equal(found.toarray(), expected)


def test_any_container_gives_the_same(mdata, as_container):
    rna = mdata["rna"]
    aligned = align_genes(as_container(rna), rna.var_names[::-1])
    assert (aligned.X != rna.X[:, ::-1]).nnz == 0


# -- queries of a model


def test_other_names_are_a_query_in_one_line(trained, make_unseen, refuses):
    rna = make_unseen()["rna"]
    expected = trained.get_latent_representation(rna)
    query = rna[:, ::-1].copy()
    query.var_names = query.var_names.str.upper()
    with refuses(ValueError, "genes of the model"):
        trained.get_latent_representation(query)
    assert np.array_equal(trained.get_latent_representation(align_genes(query, trained)), expected)
    query.var["symbol"] = rna.var_names[::-1]
    query.var_names = [f"ENSMUSG{i:011}.1" for i in range(60)]
    aligned = align_genes(query, trained, gene_key="symbol")
    assert np.array_equal(trained.get_latent_representation(aligned), expected)


# -- reports


def test_one_line_reports_all_genes(caplog):
    adata = cells(["A", "b", "B.x", "ensg1", "ENSG1.2", "dd", "unknown"])
    with caplog.at_level(logging.INFO, "scmomer"):
        align_genes(adata, ["A", "B", "ENSG1", "Dd", "DD", "X", "Y"])
    (record,) = caplog.records
    assert record.getMessage() == (
        "3 of 7 vocabulary genes found (43%); 4 missing genes are set to 0, 4 of 7 genes of the "
        "data are left out, 1 of them because they match several genes ('dd')."
    )
    caplog.clear()
    with caplog.at_level(logging.INFO, "scmomer"):
        align_genes(cells(["a", "b", "Ab", "aB"]), ["A", "B", "AB"])
    assert "vocabulary genes that are sums of several genes: 1 ('AB')" in caplog.text


def test_few_matches_warn():
    with pytest.warns(UserWarning, match=r"1 of 9 vocabulary genes.*\(11%\).*unreliable"):
        align_genes(cells(["A", "B"]), ["A", *"stuvwxyz"])


# -- errors


def test_no_gene_in_common_is_refused(refuses):
    adata = cells(["ENSG01", "ENSG02"])
    parts = ("'A', 'B'", "adata.var_names", "none of 2", "'ENSG01'", "species", "gene_key=")
    with refuses(ValueError, *parts):
        align_genes(adata, ["A", "B"])
    adata.var["symbol"], adata.var["n_cells"] = ["a", "B"], 3
    with refuses(ValueError, "Pass gene_key='symbol' (2 match)"):
        align_genes(adata, ["A", "B"])
    with refuses(ValueError, "adata.var['n_cells']", "'3'"):
        align_genes(adata, ["A", "B"], gene_key="n_cells")


def test_repeated_names_are_refused(refuses):
    with refuses(ValueError, "adata.var_names, found 1", "(A)"):
        align_genes(cells(["A", "A"]), ["A"])
    with refuses(ValueError, "unique names in vocabulary, found 1", "(A)", "Drop"):
        align_genes(cells(["A"]), ["A", "A"])


def test_values_that_are_not_counts_are_refused(refuses):
    adata = cells(["A"])
    adata.X = adata.X / 3
    with refuses(ValueError, "adata.X", "non-integer", "layer="):
        align_genes(adata, ["A"])


def test_other_objects_are_refused(mdata, trained_atac, refuses):
    with refuses(TypeError, "an AnnData", "MuData"):
        align_genes(mdata, ["A"])
    with refuses(TypeError, "a sequence of names", "'model.scmomer'"):
        align_genes(mdata["rna"], "model.scmomer")
    with refuses(ValueError, "a model with genes", "['atac']"):
        align_genes(mdata["rna"], trained_atac)
