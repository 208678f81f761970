"""``tl.gene_property``: known answers, controls, prediction of new genes and errors."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmomer.tl import gene_property

N = 150
NAMES = [f"GENE{i}" for i in range(N)]


@pytest.fixture
def embeddings() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(0).normal(size=(N, 4)), index=NAMES)


@pytest.fixture
def labels(embeddings) -> pd.Series:
    """The first dimension, with noise."""
    noise = np.random.default_rng(1).normal(0, 0.5, N)
    return pd.Series(embeddings[0].to_numpy() + noise > 0.5, index=NAMES)


def auroc(found, features, column="mean", classifier="logistic") -> float:
    table = found.table
    row = table[
        (table.features == features) & (table.metric == "auroc") & (table.classifier == classifier)
    ]
    return row[column].item()


def test_a_property_is_found_and_controls_are_at_chance(embeddings, labels):
    found = gene_property(embeddings, labels, repeats=2)
    assert auroc(found, "embedding") > 0.9
    assert abs(auroc(found, "random") - 0.5) < 0.15
    assert np.isnan(auroc(found, "embedding", "difference"))
    gain = auroc(found, "embedding") - auroc(found, "random")
    assert auroc(found, "random", "difference") == pytest.approx(gain)
    assert auroc(found, "random", "difference_se") < gain / 3


def test_the_table_is_tidy(embeddings, labels):
    tasks = pd.DataFrame({"one": labels, "two": embeddings[1] > 0})
    found = gene_property(embeddings, tasks, cv=3, repeats=2)
    assert list(found.table.columns) == [
        "task",
        "features",
        "classifier",
        "metric",
        "mean",
        "se",
        "difference",
        "difference_se",
        "n_positive",
        "n_negative",
        "dim",
    ]
    assert (
        len(found.table) == 2 * 2 * 2
        and not found.table.duplicated(list(found.table.columns[:4])).any()
    )
    assert (found.table.n_positive + found.table.n_negative == N).all()
    assert len(found.folds) == 2 * 2 * 6
    mean = found.folds.groupby(["task", "features"])["auroc"].mean()
    table = found.table[found.table.metric == "auroc"].set_index(["task", "features"])
    assert np.allclose(table["mean"], mean[table.index])
    summary = found.summary()
    both = found.table.query("features == 'random' and metric == 'auroc'")["difference"]
    row = summary.loc[("random", "logistic", "auroc")]
    assert row["difference"] == pytest.approx(both.mean()) and row["n_tasks"] == 2
    assert row["difference_se"] == pytest.approx(both.std() / np.sqrt(2))
    assert "AUROC of 2 task(s)" in repr(found) and "random" in repr(found)


def test_the_same_seed_gives_the_same_table(embeddings, labels):
    one, two = (gene_property(embeddings, labels, repeats=1, seed=3).table for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    shuffled = embeddings.iloc[::-1]
    assert not gene_property(shuffled, labels, repeats=1, seed=4).table.equals(one)


def test_names_betray_a_family(embeddings):
    embeddings.index = [f"ZNF{i}" if i < 50 else f"ABC{i}" for i in range(N)]
    labels = pd.Series(embeddings.index.str.startswith("ZNF"), index=embeddings.index)
    assert auroc(gene_property(embeddings, labels, repeats=1), "prefix") > 0.99
    half = labels.copy()
    half.iloc[:40], half.iloc[50:90] = np.arange(40) % 2 == 0, np.arange(40) % 2 == 0
    # Of two families one is always unseen
    grouped = gene_property(embeddings, half, groups="family", cv=2, repeats=1)
    assert auroc(grouped, "prefix") == pytest.approx(0.5)


def test_expression_and_gene_sets_are_controls(embeddings, labels):
    adata = AnnData(embeddings.to_numpy(np.float32))
    adata.obs_names = NAMES
    adata.obs["mean"], adata.obs["detection"] = labels.astype(float).to_numpy(), 0.5
    sets = {"a": [n for n in NAMES if labels[n]], "b": NAMES[:10]}
    found = gene_property(adata, labels, repeats=1, gene_sets=sets)
    assert auroc(found, "expression") == 1 and auroc(found, "gene_sets") > 0.9
    features = set(
        gene_property(adata, labels, repeats=1, gene_sets=sets, controls=False).table.features
    )
    assert features == {"embedding"}


def test_terms_are_tasks(embeddings, caplog):
    sets = {"low": NAMES[:60], "high": NAMES[50:]}
    found = gene_property(embeddings, sets, repeats=1, gene_sets=sets)
    assert found.tasks == ["low", "high"]
    with pytest.warns(UserWarning, match="1 of 3 tasks are left out"):
        few = gene_property(embeddings, {**sets, "few": NAMES[-5:]}, repeats=1, cv=2)
    assert few.tasks == ["low", "high"]


def test_opponents_have_the_same_genes_and_folds(embeddings, labels, caplog):
    with caplog.at_level(logging.INFO, "scmomer"):
        found = gene_property(
            embeddings,
            labels,
            repeats=1,
            opponents={"same": embeddings, "half": embeddings.iloc[:100, 1:]},
        )
    assert (
        "100 genes are compared: those of the embedding (150)" in caplog.text
        and "half 100" in caplog.text
    )
    assert (found.table.n_positive + found.table.n_negative == 100).all()
    assert auroc(found, "same", "difference") == 0 and auroc(found, "half", "difference") > 0.2
    assert found.table.set_index("features")["dim"]["half"].tolist() == [3, 3]


def test_opponents_may_be_spelled_and_ordered_differently(embeddings, labels):
    other = embeddings.iloc[::-1].rename(index=str.lower)
    found = gene_property(embeddings, labels, repeats=1, opponents={"other": other})
    assert auroc(found, "other", "difference") == 0


def test_forests_and_both(embeddings, labels):
    found = gene_property(
        embeddings, labels, cv=2, repeats=1, classifier=("logistic", "forest"), controls=False
    )
    assert auroc(found, "embedding", classifier="forest") > 0.85
    assert found.predict(embeddings, classifier="forest").between(0, 1).all()


def test_new_genes_are_scored(embeddings, labels):
    known = gene_property(embeddings.iloc[:100], labels[:100], repeats=1)
    scores = known.predict(embeddings.iloc[100:])
    assert (
        scores.index.tolist() == NAMES[100:]
        and scores.between(0, 1).all()
        and scores.name == "label"
    )
    truth = labels[100:].to_numpy()
    assert scores[truth].mean() > scores[~truth].mean() + 0.3


def test_predict_asks_for_what_is_missing(embeddings, labels, refuses):
    found = gene_property(
        embeddings, pd.DataFrame({"one": labels, "two": ~labels}), repeats=1, controls=False
    )
    with refuses(ValueError, "task= to be one of ['one', 'two']", "Pass task='one'"):
        found.predict(embeddings)
    assert np.allclose(
        found.predict(embeddings, task="one"), 1 - found.predict(embeddings, task="two"), atol=0.1
    )
    with refuses(ValueError, "classifier=", "['logistic']", "'forest'"):
        found.predict(embeddings, task="one", classifier="forest")
    with refuses(ValueError, "length 4, found 3"):
        found.predict(embeddings.iloc[:, :3], task="one")


def test_mouse_labels_and_renamed_genes(embeddings, labels):
    mouse = labels.rename(index=str.capitalize)
    expected = gene_property(embeddings, labels, repeats=1).table
    pd.testing.assert_frame_equal(gene_property(embeddings, mouse, repeats=1).table, expected)
    old = labels.rename(index={"GENE3": "OLD3"})
    renamed = gene_property(embeddings, old, repeats=1, aliases={"OLD3": "GENE3"})
    pd.testing.assert_frame_equal(renamed.table, expected)
    table = pd.DataFrame({"mouse": [f"m{i}" for i in range(N)], "human": NAMES})
    orthologs = gene_property(
        embeddings, labels.set_axis(table["mouse"]), repeats=1, orthologs=table
    )
    pd.testing.assert_frame_equal(orthologs.table, expected)


def test_bad_input_is_refused(embeddings, labels, refuses):
    with refuses(ValueError, "two classes", "Label genes of both"):
        gene_property(embeddings, labels[labels])
    few = pd.Series(np.arange(N) < 9, index=NAMES)
    with refuses(ValueError, "at least 10 positive", "9 and 141"):
        gene_property(embeddings, few)
    with refuses(ValueError, "half of the genes in labels", "found 20 of 150"):
        gene_property(embeddings.iloc[:20], labels)
    with refuses(ValueError, "Ensembl ids in labels", "symbols"):
        gene_property(embeddings, labels.set_axis([f"ENSG{i:011}" for i in range(N)]))
    twice = pd.concat([labels, ~labels[:1]])
    with refuses(ValueError, "found two for 1", "`labels = pandas.Series(labels).drop(['GENE0'])`"):
        gene_property(embeddings, twice)
    with refuses(ValueError, "classifier", "'svm'"):
        gene_property(embeddings, labels, classifier="svm")
    with refuses(ValueError, "cv of at least 2"):
        gene_property(embeddings, labels, cv=1)
    with refuses(ValueError, "cv of at most", "rarest class", "found 100"):
        gene_property(embeddings, labels, cv=100)
    with refuses(ValueError, "repeats of at least 1"):
        gene_property(embeddings, labels, repeats=0)
    with refuses(ValueError, "other names of opponents", "['random']"):
        gene_property(embeddings, labels, opponents={"random": embeddings})
    with refuses(ValueError, "as many groups as folds, 2, found 1", "smaller cv="):
        gene_property(embeddings, labels, groups=pd.Series("all", index=NAMES), cv=2, repeats=1)
    with refuses(ValueError, "both classes in some fold", "groups are too large"):
        gene_property(embeddings, labels, groups=labels.map(str), cv=2, repeats=1)
    with refuses(TypeError, "opponents as a dict", "DataFrame"):
        gene_property(embeddings, labels, opponents=embeddings)
    with refuses(TypeError, "found ndarray", "pandas.DataFrame(array, index=genes)"):
        gene_property(embeddings.to_numpy(), labels)
    with refuses(TypeError, "found ndarray", "pandas.Series(labels, index=genes)"):
        gene_property(embeddings, labels.to_numpy())
    with refuses(TypeError, "groups", "list", "pandas.Series(groups, index=genes)"):
        gene_property(embeddings, labels, groups=["a"] * N)
    with refuses(ValueError, "classifier", "None"):
        gene_property(embeddings, labels, classifier=None)
