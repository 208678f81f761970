"""Which gene of the labels is which gene of the embedding."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmomer.tasks.genes import NameTables, match_names, read_embeddings


def genes(names):
    return read_embeddings(pd.DataFrame(np.eye(len(names)), index=names), "X", None)


def matched(found, names, strict=True, **tables) -> set[tuple[str, str]]:
    found, embedded = pd.Index(found), genes(names)
    rows, columns = match_names(found, embedded, NameTables(**tables), "labels", strict=strict)
    return set(zip(found[rows], embedded.names[columns], strict=True))


def test_case_and_versions_do_not_matter():
    assert matched(["Gad1", "SST"], ["GAD1", "Sst"]) == {("Gad1", "GAD1"), ("SST", "Sst")}
    assert matched(["ENSG00000128683.14"], ["ENSG00000128683"])


def test_every_spelling_of_a_gene_is_matched():
    found = matched(["GAD1", "Gad1", "gad1", "ENSG00000128683.2"], ["GAD1", "ENSG00000128683"])
    assert {name for name, gene in found if gene == "GAD1"} == {"GAD1", "Gad1", "gad1"}


@pytest.mark.parametrize("old_to_new", [True, False])
@pytest.mark.parametrize("kind", ["mapping", "table"])
def test_aliases_are_read_in_both_directions(old_to_new, kind):
    pair = ("MARCH8", "MARCHF8") if old_to_new else ("MARCHF8", "MARCH8")
    aliases = dict([pair]) if kind == "mapping" else pd.DataFrame([pair], columns=["a", "b"])
    assert matched(["MARCH8", "A"], ["MARCHF8", "A"], aliases=aliases) == {
        ("MARCH8", "MARCHF8"),
        ("A", "A"),
    }


def test_a_known_name_keeps_its_meaning():
    assert matched(["A"], ["A", "B"], aliases={"A": "B"}) == {("A", "A")}


def test_a_gene_counts_for_all_orthologs_and_aliases_lead_to_them():
    orthologs = {"TWO": ["Two1", "Two2"], "MARCHF8": "Marchf8"}
    found = matched(
        ["TWO", "MARCH8"],
        ["Two1", "Two2", "Marchf8"],
        orthologs=orthologs,
        aliases={"MARCH8": "MARCHF8"},
    )
    assert found == {("TWO", "Two1"), ("TWO", "Two2"), ("MARCH8", "Marchf8")}


def test_unknown_names_are_counted_and_too_many_refused(refuses, caplog):
    with caplog.at_level(logging.INFO, "scmomer"):
        assert len(matched(list("ABCX"), list("ABCD"))) == 3
    assert "1 of 4 genes in labels are not in the embedding (such as 'X')" in caplog.text
    with refuses(ValueError, "half of the genes in labels", "found 1 of 3", "'X', 'Y'", "aliases="):
        matched(["A", "X", "Y"], list("ABCD"))
    assert len(matched(["A", "X", "Y"], list("ABCD"), strict=False)) == 1
    with refuses(ValueError, "found 0 of 1"):
        matched(["X"], list("ABCD"), strict=False)
    with refuses(ValueError, "Check orthologs=", "first column"):
        matched(["Gad1"], ["GAD1"], orthologs={"GAD1": "Gad1x"})


IDS = ["ENSG00000128683", "ENSG00000157005"]


def test_ensembl_ids_against_symbols_name_both_sides_and_a_column(refuses):
    with refuses(
        ValueError, "symbols in labels ('GAD1'", "Ensembl ids in embeddings.index", "aliases="
    ):
        matched(["GAD1", "SST"], IDS)
    with refuses(ValueError, "Ensembl ids in labels", "symbols in embeddings.index"):
        matched(IDS, ["GAD1", "SST"])
    embeddings = AnnData(np.eye(2, dtype=np.float32))
    embeddings.obs_names, embeddings.obs["symbol"] = IDS, ["GAD1", "SST"]
    found = read_embeddings(embeddings, "X", None)
    names = pd.Index(["GAD1", "SST"])
    with refuses(
        ValueError, "`aliases=dict(zip(embeddings.obs['symbol'], embeddings.obs_names))`", "2 genes"
    ):
        match_names(names, found, NameTables(), "labels")
    aliases = dict(zip(embeddings.obs["symbol"], embeddings.obs_names, strict=True))  # as it says
    rows, columns = match_names(names, found, NameTables(aliases), "labels")
    assert rows.tolist() == columns.tolist() == [0, 1]
