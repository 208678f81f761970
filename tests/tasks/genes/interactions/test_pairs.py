"""Pairs without order, repeats, self pairs and unknown genes."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.genes import NameTables, read_pairs


def read(pairs, genes, fold_key=None, columns=None, label_key="label", **tables):
    return read_pairs(
        pairs, genes, NameTables(**tables), columns=columns, label_key=label_key, fold_key=fold_key
    )


def frame(*rows, columns=("a", "b", "label")) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)[: len(rows[0])])


def as_set(pairs) -> set[tuple[int, int, bool]]:
    return {
        (a, b, y) for (a, b), y in zip(pairs.genes.tolist(), pairs.positive.tolist(), strict=True)
    }


def test_pairs_have_no_order_and_count_once(genes, caplog):
    pairs = frame(
        ("GENE5", "GENE1", 1),
        ("gene1", "GENE5", 1),
        ("GENE2", "GENE3", 0),
        ("GENE3", "GENE2", 1),
        ("GENE4", "GENE4", 1),
        ("GENE6", "NOT", 1),
        ("GENE7", None, 1),
    )
    with caplog.at_level(logging.INFO, "scmomer"):
        found = read(pairs, genes)
    assert (
        as_set(found) == {(1, 5, True), (2, 3, True)}
        and (found.genes[:, 0] < found.genes[:, 1]).all()
    )
    for line in (
        "2 of 7 pairs have a gene without an embedding",
        "1 pairs of a gene with itself",
        "2 repeated pairs (in either order)",
        "1 pairs that are positive in one row and negative in another",
    ):
        assert line in caplog.text


def test_the_order_of_rows_and_of_genes_does_not_matter(genes):
    rng = np.random.default_rng(0)
    names = np.array([f"GENE{i}" for i in range(20)])[rng.integers(20, size=(60, 2))]
    pairs = pd.DataFrame(names, columns=["a", "b"]).assign(label=rng.integers(2, size=60))
    other = pairs.rename(columns={"a": "b", "b": "a"})[["a", "b", "label"]].iloc[::-1]
    one, two = read(pairs, genes), read(other, genes)
    assert np.array_equal(one.genes, two.genes) and np.array_equal(one.positive, two.positive)


def test_a_pair_in_two_folds_stays_in_the_first(genes, caplog):
    pairs = frame(
        ("GENE1", "GENE2", 1, "test"),
        ("GENE2", "GENE1", 1, "train"),
        ("GENE3", "GENE4", 0, "Test"),
        columns=("a", "b", "label", "fold"),
    )
    with caplog.at_level(logging.INFO, "scmomer"):
        found = read(pairs, genes, fold_key="fold")
    assert found.fold.tolist() == [0, 2] and found.named_folds
    assert "1 pairs are in several folds and are kept in the first" in caplog.text
    numbers = read(pairs.assign(fold=[3, 7, 7]), genes, fold_key="fold")
    assert numbers.fold.tolist() == [0, 1] and not numbers.named_folds


def test_labels_are_optional_and_columns_can_be_named(genes):
    assert read(frame(("GENE1", "GENE2")), genes).positive.all()
    pairs = pd.DataFrame({"source": ["x"], "a": ["GENE1"], "b": ["GENE2"]})
    assert as_set(read(pairs, genes, columns=["a", "b"])) == {(1, 2, True)}


def test_aliases_and_orthologs(genes):
    found = read(frame(("OLD", "GENE2")), genes, aliases={"OLD": "GENE1"})
    assert as_set(found) == {(1, 2, True)}
    orthologs = {"One": "GENE1", "Two": ["GENE2", "GENE3"]}
    found = read(frame(("Two", "One")), genes, orthologs=orthologs)
    assert as_set(found) == {(1, 2, True), (1, 3, True)}


def test_wrong_tables_are_refused(genes, refuses):
    good = frame(("GENE1", "GENE2", 1))
    with refuses(ValueError, "half of the pairs", "found 1 of 3", "'NOT'", "aliases="):
        read(frame(("GENE1", "GENE2"), ("NOT", "GENE1"), ("GENE1", "NOR")), genes)
    with refuses(ValueError, "name genes alike", "Ensembl ids in pairs"):
        read(frame(("ENSG00000128683", "ENSG00000128684")), genes)
    with refuses(ValueError, "labels 0 and 1", "pairs['label']", "[2]"):
        read(good.assign(label=2), genes)
    with refuses(TypeError, "two columns of genes", "list"):
        read([("GENE1", "GENE2")], genes)
    with refuses(KeyError, "two columns of genes", "['a', 'label']", "columns="):
        read(good[["a", "label"]], genes)
    with refuses(KeyError, "without ['x', 'y']"):
        read(good, genes, columns=["x", "y"])
    with refuses(KeyError, "column 'fold'", "split='given'"):
        read(good, genes, fold_key="fold")
    with refuses(ValueError, "at least two folds"):
        read(good.assign(fold=1), genes, fold_key="fold")
    with refuses(ValueError, "folds train and test", "['train']"):
        read(good.assign(fold="train"), genes, fold_key="fold")
    with refuses(ValueError, "a fold for each pair", "1 missing"):
        read(good.assign(fold=np.nan), genes, fold_key="fold")
    with pytest.raises(ValueError, match="pairs of two genes"):
        read(frame(("GENE1", "GENE1", 1)), genes)
    with refuses(KeyError, "column 'y'", "['a', 'b', 'label']", "label_key="):
        read(good, genes, label_key="y")
    with refuses(ValueError, "unique names of columns", "['a']"):
        read(good.set_axis(["a", "a", "label"], axis=1), genes)
    with refuses(KeyError, "two columns of genes", "['a', 'a']"):
        read(good, genes, columns=["a", "a"])
    with refuses(ValueError, "names of genes in pairs", "none"):
        read(good.iloc[:0], genes)


@pytest.mark.parametrize("other", ["holdout", "test_set", "1"])
def test_training_pairs_are_never_a_fold_to_test(genes, refuses, other):
    two = frame(("GENE1", "GENE2"), ("GENE1", "GENE3")).assign(fold=["train", other])
    with refuses(ValueError, "folds train, valid and test", f"{other!r}", "Rename"):
        read(two, genes, fold_key="fold")
    spaced = read(two.assign(fold=[" Train", "TEST "]), genes, fold_key="fold")
    assert spaced.named_folds and sorted(spaced.fold) == [0, 2]


def test_labels_under_another_name_are_noticed(genes):
    two = frame(("GENE1", "GENE2", 1), ("GENE1", "GENE3", 0)).rename(columns={"label": "y"})
    with pytest.warns(UserWarning, match="no column 'label'.*label_key='y'"):
        assert read(two, genes).positive.all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(two.rename(columns={"y": "fold"}), genes)
        assert read(two, genes, label_key="y").positive.tolist() == [True, False]
