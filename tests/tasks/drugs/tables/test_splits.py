"""Splits of matrices: what test pairs share with training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.drugs import check_disjoint, folds, read_response

GROUPS = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9])
TISSUES = np.array(
    [["lung", "skin", "bone", "blood", None][i % 5] for i in range(40)], dtype=object
)
SPLITS = ["lpo", "lco", "ldo", "lto"]


def units_of(mask: np.ndarray, split: str) -> set:
    """What the pairs of a mask are of, by plain Python."""
    pairs = zip(*np.nonzero(mask), strict=True)
    return {
        {"lpo": (i, GROUPS[j]), "lco": i, "ldo": GROUPS[j], "lto": TISSUES[i]}[split]
        for i, j in pairs
    }


def made(matrix, split, **options) -> list:
    return list(folds(matrix, split, groups=GROUPS, tissues=TISSUES, **options))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_in_two_parts(matrix, split, seed):
    measured = np.isfinite(matrix)
    if split == "lto":
        measured &= (TISSUES != None)[:, None]  # noqa: E711 - elementwise
    tested = np.zeros(matrix.shape, int)
    for fold in made(matrix, split, n_folds=4, seed=seed):
        parts = [fold.train, fold.validation, fold.test]
        assert all(part.any() and part.dtype == bool for part in parts)
        np.testing.assert_array_equal(np.sum(parts, axis=0), measured)
        train, validation, test = (units_of(part, split) for part in parts)
        assert not train & validation and not train & test and not validation & test
        tested += fold.test
    np.testing.assert_array_equal(tested, measured)


@pytest.mark.parametrize("split", SPLITS)
def test_folds_come_from_the_seed(matrix, split):
    one, two, other = (made(matrix, split, n_folds=3, seed=seed) for seed in (0, 0, 1))
    for a, b in zip(one, two, strict=True):
        assert (a.test == b.test).all() and (a.validation == b.validation).all()
    assert any((a.test != b.test).any() for a, b in zip(one, other, strict=True))
    shifted = made(matrix + 5, split, n_folds=3)
    assert all((a.test == b.test).all() for a, b in zip(one, shifted, strict=True))


@pytest.mark.parametrize("split", SPLITS)
def test_one_split_with_a_share(matrix, split):
    (fold,) = made(matrix, split, test_share=0.25, validation_share=0.4)
    counts = [len(units_of(mask, split)) for mask in (fold.train, fold.validation, fold.test)]
    assert counts[2] == round(0.25 * sum(counts))
    assert counts[1] == round(0.4 * (counts[0] + counts[1]))


@pytest.mark.parametrize("each", ["each", None])
def test_each_drug_once(matrix, each):
    made_folds = made(matrix, "ldo", n_folds=each)
    assert len(made_folds) == len(set(GROUPS))
    assert all(len(units_of(fold.test, "ldo")) == 1 for fold in made_folds)
    assert {len(f.test.any(axis=0).nonzero()[0]) for f in made_folds} == {1, 2}


def test_no_validation(matrix):
    for fold in made(matrix, "lco", validation_share=0):
        assert (
            not fold.validation.any()
            and (fold.train | fold.test).sum() == np.isfinite(matrix).sum()
        )


def test_groups_of_any_type(matrix):
    names = [f"C{g}" for g in GROUPS]
    by_name = folds(matrix, "ldo", groups=names)
    for a, b in zip(by_name, folds(matrix, "ldo", groups=GROUPS), strict=True):
        np.testing.assert_array_equal(a.test, b.test)


def test_lines_without_a_value_count_for_nothing(matrix):
    matrix[5:] = np.nan
    assert len(list(folds(matrix, "lco", n_folds="each"))) == 5
    with pytest.raises(ValueError, match="n_folds=6 cell lines and two beside a test, found 5"):
        folds(matrix, "lco", n_folds=6)


def test_lines_without_a_tissue_are_counted(matrix, caplog):
    with caplog.at_level("INFO", logger="scmomer"):
        made(matrix, "lto", n_folds=4)
    assert "8 cell lines without a tissue are in no fold" in caplog.text


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        ("random", {}, r"split= one of \['lpo', 'lco', 'ldo', 'lto'\], found 'random'"),
        ("lto", {}, "tissue of each cell line for split='lto', found none. Pass tissues="),
        (
            "lto",
            {"tissues": ["a"] * 39},
            "tissues= to have one value for each cell line, 40, found 39",
        ),
        ("lto", {"tissues": ["a", "b"] * 20}, "at least 3 tissues, .* found 2"),
        ("ldo", {"n_folds": 13}, "n_folds=13 drugs and two beside a test, found 12"),
        ("ldo", {"groups": ["a"] * 12}, "at least 3 drugs, .* found 1"),
        (
            "ldo",
            {"groups": [None, *"abcdefghijk"]},
            "group for each drug in groups=, found 1 missing",
        ),
        ("lpo", {"n_folds": "each"}, "number of folds for split='lpo', found n_folds='each'"),
        ("lco", {"n_folds": 1}, "n_folds= of at least 2 or 'each', found 1"),
        ("lco", {"n_folds": 2.5}, "n_folds= of at least 2 or 'each', found 2.5"),
        ("lco", {"test_share": 1.0}, "test_share= between 0 and 1 that leaves 2 of 40 cell lines"),
        ("lco", {"validation_share": 1.0}, "validation_share= from 0 to below 1, found 1.0"),
    ],
)
def test_what_cannot_be_split(matrix, split, options, message):
    with pytest.raises(ValueError, match=message):
        folds(matrix, split, **options)


def test_values_must_be_a_matrix(matrix):
    with pytest.raises(ValueError, match=r"shape \(n_lines, n_drugs\), found \(12,\)"):
        folds(matrix[0], "lco")


def test_pairs_of_training_are_refused_as_test(response):
    train, test = read_response(response[::2]), read_response(response[1::2])
    check_disjoint(train.pairs, test.pairs)
    both = read_response(pd.concat([response[1::2], response[:4:2]]))
    with pytest.raises(ValueError, match=r"found 2 of \d+ in both: 'line 0 \+ drug [02]'"):
        check_disjoint(train.pairs, both.pairs)
