"""Names of genes: which is which, and tables of other names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.data import gene_pairs, match_genes, match_through


def matches(names, vocabulary) -> list[list[int]]:
    """Return the genes that count in each entry."""
    matrix = match_genes(pd.Index(names), pd.Index(vocabulary)).matrix.toarray()
    return [np.flatnonzero(column).tolist() for column in matrix.T]


@pytest.mark.parametrize(
    ("names", "vocabulary", "expected"),
    [
        (["A", "B", "C"], ["C", "X", "A"], [[2], [], [0]]),
        (["Gad1", "Sst"], ["GAD1", "SST"], [[0], [1]]),
        (["GAD1", "Gad1"], ["GAD1"], [[0]]),  # an exact match wins
        (["gad1", "Gad1"], ["GAD1"], [[0, 1]]),  # no exact match, both count
        (["Gad1", "GAD1"], ["GAD1", "Gad1"], [[1], [0]]),
        (["gad1", "SST"], ["GAD1", "Gad1", "SST"], [[], [], [1]]),  # two matches: none
        (["ENSG00000128683.14"], ["ENSG00000128683"], [[0]]),
        (["ENSG00000128683"], ["ENSG00000128683.2"], [[0]]),
        (["ENSG00000128683.14"], ["ENSG00000128683.2"], [[0]]),
        (["ensmusg00000070880.3"], ["ENSMUSG00000070880"], [[0]]),
        (["ENSG01.1", "ENSG01.2"], ["ENSG01"], [[0, 1]]),
        (["ENSG01.1", "ENSG01"], ["ENSG01"], [[1]]),
        (["ENSG01.5_PAR_Y", "ENSG01.5"], ["ENSG01"], [[0, 1]]),
        (["ENSG01", "A"], ["ENSG01.1", "ENSG01.2", "A"], [[], [], [1]]),
        (["ensg01", "ENSG01.7"], ["ENSG01.8"], [[1]]),  # the version matters less than case
        (["AC012345.2", "A"], ["AC012345", "A"], [[], [1]]),  # a symbol, not a version
    ],
)
def test_which_name_is_which(names, vocabulary, expected):
    assert matches(names, vocabulary) == expected


def naive(names, vocabulary) -> list[list[int]]:
    """Loop over pairs, exact or in any case."""
    result = []
    for entry in vocabulary:
        exact = [i for i, name in enumerate(names) if name == entry]
        alike = [v for v in vocabulary if v.upper() == entry.upper()]
        loose = [
            i
            for i, name in enumerate(names)
            if name.upper() == entry.upper() and name not in vocabulary and len(alike) == 1
        ]
        result.append(exact or loose)
    return result


@pytest.mark.parametrize("seed", range(6))
def test_matches_are_those_of_a_double_loop(seed):
    rng = np.random.default_rng(seed)
    every = np.array(["ab", "Ab", "AB", "cd", "Cd", "CD", "ef", "Ef", "g", "G", "h", "i"])
    names, vocabulary = rng.permutation(every)[:8].tolist(), rng.permutation(every)[:6].tolist()
    assert matches(names, vocabulary) == naive(names, vocabulary)


def test_a_gene_that_matches_several_entries_is_unclear():
    match = match_genes(pd.Index(["gad1", "SST"]), pd.Index(["GAD1", "Gad1", "SST"]))
    assert match.unclear.tolist() == [True, False]


def test_a_table_leads_to_all_orthologs_and_to_nothing_else():
    table = gene_pairs({"Two": ["D", "E"], "One": "A"}, "orthologs")
    match = match_through(pd.Index(["two", "ONE", "A"]), pd.Index(list("ADE")), table)
    assert match.matrix.toarray().tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]


def test_tables_name_their_argument(refuses):
    with refuses(TypeError, "aliases", "old names", "list"):
        gene_pairs(["A"], "aliases", "old names")
    with refuses(ValueError, "two columns", "`aliases = aliases[['a', 'b']]`"):
        gene_pairs(pd.DataFrame(columns=list("abc")), "aliases")
