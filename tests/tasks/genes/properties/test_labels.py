"""Labels of genes: forms, classes, contradictions and gene sets."""

from __future__ import annotations

import gzip
import logging

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.genes import NameTables, enough, read_gene_sets, read_tasks

POSITIVE = [f"GENE{i}" for i in range(15)]
SERIES = pd.Series({f"GENE{i}": i < 15 for i in range(40)})


def tasks(labels, genes, **options):
    return read_tasks(labels, genes, options.pop("tables", NameTables()), **options)


def positives(task, genes) -> list[str]:
    return genes.names[task.genes[task.positive]].tolist()


@pytest.mark.parametrize(
    "labels",
    [
        SERIES,
        SERIES.to_dict(),
        SERIES.astype(int),
        SERIES.astype(float).reindex([*SERIES.index, "GENE99"]),  # NaN: unlabeled
        SERIES.map({True: "sensitive", False: "insensitive"}),
        SERIES.map({True: "sensitive", False: "insensitive"}).astype("category"),
        pd.DataFrame({"label": SERIES}),
        {"label": SERIES},
        {"label": SERIES.to_dict()},
    ],
    ids=["bool", "dict", "int", "nan", "text", "category", "frame", "series", "dicts"],
)
def test_two_classes_in_every_form(labels, genes):
    (task,) = tasks(labels, genes)
    assert task.name == "label" and len(task.genes) == 40
    assert positives(task, genes) == POSITIVE


def test_the_positive_class_can_be_chosen(genes, refuses, caplog):
    labels = SERIES.map({True: "a", False: "b"})
    with caplog.at_level(logging.INFO, "scmomer"):
        (task,) = tasks(labels, genes)
    assert task.positive.sum() == 25 and "positive class of label is 'b'" in caplog.text
    assert positives(tasks(labels, genes, positive="a")[0], genes) == POSITIVE
    with refuses(ValueError, "one of ['a', 'b']", "'c'"):
        tasks(labels, genes, positive="c")


def test_one_or_three_classes_are_refused(genes, refuses):
    with refuses(ValueError, "two classes in labels (label)", "found 1"):
        tasks(SERIES[SERIES], genes)
    three = pd.Series({"GENE1": "a", "GENE2": "b", "GENE3": "c"})
    with refuses(
        ValueError, "found 3", "`labels = pandas.Series(labels).loc[lambda x: x.isin(['a', 'b'])]`"
    ):
        tasks(three, genes)
    with refuses(TypeError, "list", "background='embedding'"):
        tasks(["GENE1"], genes)


def test_contradicting_labels_are_refused_and_equal_ones_merged(genes, refuses, caplog):
    labels = pd.concat([SERIES, pd.Series({"gene1": True, "GENE3": True})])
    with caplog.at_level(logging.INFO, "scmomer"):
        (task,) = tasks(labels, genes)
    assert len(task.genes) == 40 and "2 repeated labels" in caplog.text
    labels = pd.concat([SERIES, pd.Series({"gene1": False, "GENE3": False})])
    with refuses(ValueError, "found two for 2", "`labels = pandas.Series(labels).drop(["):
        tasks(labels, genes)
    left = labels.drop(["GENE1", "gene1", "GENE3"])  # as the message says
    assert len(tasks(left, genes)[0].genes) == 38


def test_fewer_than_ten_of_a_class_are_refused_or_left_out(genes, refuses):
    few = pd.Series({f"GENE{i}": i < 9 for i in range(40)})
    with refuses(ValueError, "at least 10 positive", "'label': 9 and 31", "Label more"):
        enough(tasks(few, genes))
    with pytest.warns(UserWarning, match="1 of 2 tasks are left out.*'few'"):
        (task,) = enough(tasks({"good": SERIES, "few": few}, genes))
    assert task.name == "good"


SETS = {"T1": POSITIVE, "T2": [f"gene{i}" for i in range(10, 30)], "T3": ["NOT1", "NOT2", "NOT3"]}


def test_negative_genes_of_a_term(genes, refuses):
    first, second, third = tasks(SETS, genes)
    assert positives(first, genes) == POSITIVE and len(first.genes) == 30  # those in any term
    assert second.positive.sum() == 20 and third.positive.sum() == 0
    assert len(tasks(SETS, genes, background="embedding")[0].genes) == 120
    listed = tasks(SETS, genes, background=[f"GENE{i}" for i in range(10, 50)])[0]
    assert len(listed.genes) == 50 and listed.positive.sum() == 15
    with refuses(ValueError, "several terms", "background='embedding'"):
        tasks({"T1": POSITIVE}, genes)
    with refuses(ValueError, "'terms', 'embedding' or a list", "'all'"):
        tasks(SETS, genes, background="all")


@pytest.mark.parametrize("zipped", [False, True])
def test_gmt_files(tmp_path, genes, zipped, refuses):
    path = tmp_path / ("sets.gmt.gz" if zipped else "sets.gmt")
    text = "".join(f"{t}\tsome text\t" + "\t".join(g) + "\n" for t, g in SETS.items())
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    assert read_gene_sets(path, "labels") == SETS
    from_file, from_dict = tasks(str(path), genes), tasks(SETS, genes)
    assert all(
        np.array_equal(a.positive, b.positive) for a, b in zip(from_file, from_dict, strict=True)
    )
    with refuses(FileNotFoundError, "absent.gmt", "labels"):
        read_gene_sets(tmp_path / "absent.gmt", "labels")
    path.write_text("T1 without tabs\n")
    with refuses(ValueError, "separated by tabs", "line 1"):
        read_gene_sets(path, "gene_sets")
    with refuses(ValueError, "Expected sets of genes in gene_sets"):
        read_gene_sets({}, "gene_sets")


FORMS = {
    "series": lambda s: s,
    "dict": lambda s: s.to_dict(),
    "frame": lambda s: pd.DataFrame({"x": s}),
    "dicts": lambda s: {"x": s.to_dict()},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("problem", ["two labels", "three classes"])
def test_the_remedy_in_a_message_works(genes, form, problem):
    if problem == "two labels":
        wrong = pd.concat([SERIES, pd.Series({"gene1": False})])
    else:
        wrong = SERIES.map({True: "a", False: "b"}).where(SERIES.index != "GENE30", "c")
    labels = FORMS[form](wrong)
    with pytest.raises(ValueError) as caught:
        tasks(labels, genes)
    scope = {"pandas": pd, "labels": labels}
    exec(str(caught.value).split("`")[1], scope)
    (task,) = tasks(scope["labels"], genes)
    assert len(task.genes) == 39


def test_tables_without_labels_or_with_genes_in_a_column_are_refused(genes, refuses):
    names = pd.Series(genes.names)
    table = pd.DataFrame({"symbol": names, "tf": names.index % 2})
    with refuses(
        ValueError, "labels.index", "'0', '1', '2'", "`labels = labels.set_index('symbol')`"
    ):
        read_tasks(table, genes, NameTables())
    assert len(read_tasks(table.set_index("symbol"), genes, NameTables())) == 1
    with refuses(ValueError, "labels of genes", f"({len(names)}, 0)"):
        read_tasks(pd.DataFrame(index=genes.names), genes, NameTables())


def test_classes_in_messages_can_be_copied(genes, refuses):
    labels = pd.Series(np.arange(len(genes.names)) % 3, genes.names)
    with refuses(ValueError, "found 3: [0, 1, 2]", "isin([0, 1])"):
        read_tasks(labels, genes, NameTables())
