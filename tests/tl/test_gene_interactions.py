"""``tl.gene_interactions``: known answers, traps, order and errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.tl import gene_interactions

N = 120
NAMES = np.array([f"GENE{i}" for i in range(N)])
FAST = {"n_bootstrap": 20, "n_splits": 2}


@pytest.fixture
def embeddings() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(0).normal(size=(N, 3)), index=NAMES)


@pytest.fixture
def pairs(embeddings) -> pd.DataFrame:
    """Genes interact if their vectors are alike; as many other pairs."""
    x = embeddings.to_numpy()
    i, j = np.triu_indices(N, 1)
    positive = (x[i] * x[j]).sum(1) > 2.5
    rng = np.random.default_rng(1)
    kept = np.concatenate(
        [np.flatnonzero(positive), rng.permutation(np.flatnonzero(~positive))[: positive.sum()]]
    )
    return pd.DataFrame(
        {"a": NAMES[i[kept]], "b": NAMES[j[kept]], "label": positive[kept].astype(int)}
    )


@pytest.fixture
def hub_pairs() -> pd.DataFrame:
    """Pairs of frequent genes, whatever their vectors."""
    rng = np.random.default_rng(2)
    weight = 1 / np.arange(4, N + 4)
    drawn = rng.choice(N, size=(900, 2), p=weight / weight.sum())
    drawn = np.unique(np.sort(drawn[drawn[:, 0] != drawn[:, 1]], axis=1), axis=0)
    return pd.DataFrame({"a": NAMES[drawn[:, 0]], "b": NAMES[drawn[:, 1]]})


def auroc(found, features, column="mean") -> float:
    table = found.table
    return table[(table.features == features) & (table.metric == "auroc")][column].item()


@pytest.mark.parametrize("split", ["c1", "c2", "c3"])
@pytest.mark.parametrize("head", ["symmetric", "similarity", "bilinear"])
def test_an_interaction_is_found_in_every_split(embeddings, pairs, split, head):
    found = gene_interactions(embeddings, pairs, split=split, head=head, **FAST)
    assert auroc(found, "embedding") > 0.8
    assert abs(auroc(found, "additive") - 0.5) < 0.1 and abs(auroc(found, "degree") - 0.5) < 0.1
    shares = found.folds[["none_seen", "one_seen", "both_seen"]].to_numpy()
    assert (shares[:, {"c3": 0, "c2": 1, "c1": 2}[split]] == 1).all()
    low, high = auroc(found, "embedding", "low"), auroc(found, "embedding", "high")
    assert low < auroc(found, "embedding") < high
    assert auroc(found, "random", "difference") > 2 * auroc(found, "random", "difference_se") > 0


def test_degree_gives_a_published_score_without_biology(embeddings, hub_pairs):
    easy = gene_interactions(embeddings, hub_pairs, split="c1", negatives="uniform", **FAST)
    assert auroc(easy, "degree") > 0.7 and auroc(easy, "gene_score") > 0.65
    fair = gene_interactions(embeddings, hub_pairs, split="c1", **FAST)
    assert abs(auroc(fair, "degree") - 0.5) < 0.1 and "gene_score" not in set(fair.table.features)
    unseen = gene_interactions(embeddings, hub_pairs, split="c3", negatives="uniform", **FAST)
    assert auroc(unseen, "degree") == 0.5  # no gene of a test pair was trained on


def test_random_vectors_identify_genes(embeddings, hub_pairs):
    wide = pd.DataFrame(np.random.default_rng(3).normal(size=(N, 60)), index=NAMES)
    easy = gene_interactions(
        wide, hub_pairs, split="c1", negatives="uniform", head="concatenated", **FAST
    )
    assert auroc(easy, "random") > 0.6
    fair = gene_interactions(wide, hub_pairs, negatives="degree", **FAST)
    assert abs(auroc(fair, "random") - 0.5) < 0.12


def test_the_order_of_genes_changes_nothing(embeddings, pairs):
    swapped = pairs.rename(columns={"a": "b", "b": "a"})[["a", "b", "label"]]
    one, two = (gene_interactions(embeddings, p, **FAST) for p in (pairs, swapped))
    pd.testing.assert_frame_equal(one.table, two.table)
    some = pairs.iloc[:50]
    assert np.array_equal(one.predict(some), one.predict(some.iloc[:, [1, 0]]))


def test_a_given_split_with_given_negatives(embeddings, pairs):
    fold = np.random.default_rng(4).choice(["train", "valid", "test"], size=len(pairs))
    found = gene_interactions(
        embeddings, pairs.assign(fold=fold), split="given", negatives="given", n_bootstrap=20
    )
    assert len(found.folds) == 1 and auroc(found, "embedding") > 0.9
    test = pairs[fold == "test"]
    assert auroc(found, "embedding", "n_positive") == test.label.sum()
    assert auroc(found, "embedding", "n_negative") == (1 - test.label).sum()


def test_the_table_is_tidy(embeddings, pairs):
    found = gene_interactions(embeddings, pairs, opponents={"two": embeddings.iloc[:, :2]}, **FAST)
    assert list(found.table.columns) == [
        "features",
        "split",
        "negatives",
        "head",
        "metric",
        "mean",
        "se",
        "low",
        "high",
        "difference",
        "difference_se",
        "n_positive",
        "n_negative",
        "n_genes",
        "dim",
    ]
    assert found.table.features.unique().tolist() == [
        "embedding",
        "two",
        "random",
        "additive",
        "degree",
    ]
    assert found.table.groupby("features").size().eq(2).all()
    assert auroc(found, "embedding") == pytest.approx(found.folds["auroc_embedding"].mean())
    gain = auroc(found, "embedding") - auroc(found, "two")
    assert (
        auroc(found, "two", "difference") == pytest.approx(gain) and auroc(found, "two", "dim") == 2
    )
    assert "test pairs (c3, negatives degree, head symmetric)" in repr(found)
    bare = gene_interactions(embeddings, pairs, controls=False, **FAST)
    assert set(bare.table.features) == {"embedding"}


def test_the_same_seed_gives_the_same_table(embeddings, pairs):
    one, two, three = (
        gene_interactions(embeddings, pairs, seed=s, **FAST).table for s in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(three)


def test_new_pairs_and_new_genes_are_scored(embeddings, pairs):
    old = pairs[pairs.a.isin(NAMES[:80]) & pairs.b.isin(NAMES[:80])]
    found = gene_interactions(embeddings.iloc[:80], old, **FAST)
    new = pairs[pairs.a.isin(NAMES[80:]) | pairs.b.isin(NAMES[80:])]
    with pytest.warns(UserWarning, match="pairs have a gene without an embedding: NaN"):
        assert found.predict(new).isna().all() or found.predict(new).isna().any()
    scores = found.predict(new, embeddings=embeddings)
    assert scores.index.equals(new.index) and scores.between(0, 1).all()
    assert scores[new.label == 1].mean() > scores[new.label == 0].mean() + 0.2


def test_no_pairs_have_no_prediction(embeddings, pairs):
    found = gene_interactions(embeddings, pairs, split="c1", controls=False, **FAST)
    assert found.predict(pairs.iloc[:0]).shape == (0,)


def test_predict_takes_other_columns_and_needs_the_same_length(embeddings, pairs, refuses):
    found = gene_interactions(embeddings, pairs, **FAST)
    other = pairs.rename(columns={"a": "x", "b": "y"}).assign(first="text")[["first", "x", "y"]]
    assert np.array_equal(found.predict(other, columns=["x", "y"]), found.predict(pairs))
    with refuses(ValueError, "length 3, found 2"):
        found.predict(pairs, embeddings=embeddings.iloc[:, :2])


def test_many_training_pairs_are_sampled(embeddings, pairs, caplog):
    with caplog.at_level("INFO", "scmomer"):
        found = gene_interactions(embeddings, pairs, max_train_pairs=200, **FAST)
    assert "200 of " in caplog.text and auroc(found, "embedding") > 0.7


def test_bad_input_is_refused(embeddings, pairs, refuses):
    with refuses(ValueError, "split", "'c4'"):
        gene_interactions(embeddings, pairs, split="c4")
    with refuses(ValueError, "negatives", "'none'"):
        gene_interactions(embeddings, pairs, negatives="none")
    with refuses(ValueError, "head", "'mlp'"):
        gene_interactions(embeddings, pairs, head="mlp")
    with refuses(ValueError, "n_splits of at least 2"):
        gene_interactions(embeddings, pairs, n_splits=1)
    with refuses(ValueError, "labeled 0 and 1", "only positive", "negatives='degree'"):
        gene_interactions(embeddings, pairs[pairs.label == 1], negatives="given")
    with refuses(ValueError, "positive pairs", "found none", "label_key="):
        gene_interactions(embeddings, pairs[pairs.label == 0])
    with refuses(ValueError, "at least 10 positive and 10 negative", "n_splits="):
        gene_interactions(embeddings, pairs.iloc[::10], negatives="given", split="c1", n_splits=5)
    with refuses(ValueError, "half of the pairs"):
        gene_interactions(embeddings.iloc[:30], pairs)
    with refuses(KeyError, "'fold'", "split='given'"):
        gene_interactions(embeddings, pairs, split="given")
