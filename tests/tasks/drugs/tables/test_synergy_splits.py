"""Splits of synergy: what test rows share with training."""

from __future__ import annotations

import numpy as np
import pytest

from scmomer.tasks.drugs import check_disjoint, read_synergy, synergy_folds

SPLITS = ["given", "pairs", "drugs", "lines"]


def units_of(table, rows, split) -> set:
    columns = {
        "given": [table.fold],
        "pairs": [table.pair],
        "drugs": [table.drug_a, table.drug_b],
        "lines": [table.line],
    }
    return set(np.concatenate([column[rows] for column in columns[split]]))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_in_two_parts(synergy, split, seed):
    table = read_synergy(synergy)
    tested = np.zeros(len(table.value), int)
    for fold in synergy_folds(table, split, n_folds=4, validation_share=0.2, seed=seed):
        rows = np.concatenate([fold.train, fold.validation, fold.test])
        np.testing.assert_array_equal(np.sort(rows), np.arange(len(table.value)))
        train, validation, test = (
            units_of(table, part, split) for part in (fold.train, fold.validation, fold.test)
        )
        assert not train & validation or split == "drugs"
        assert not train & test or split == "drugs"
        check_disjoint(table.pairs[fold.train], table.pairs[fold.test])
        tested[fold.test] += 1
    assert (tested >= 1).all() and tested.max() == (2 if split == "drugs" else 1)


def test_rows_of_held_out_drugs_are_all_test(synergy):
    table = read_synergy(synergy)
    for fold in synergy_folds(table, "drugs", n_folds=4):
        trained = units_of(table, fold.train, "drugs")
        validated = units_of(table, fold.validation, "drugs") - trained
        held = set(range(8)) - trained - validated
        assert len(held) == 2 and validated
        of_held = np.isin(table.drug_a, list(held)) | np.isin(table.drug_b, list(held))
        np.testing.assert_array_equal(np.flatnonzero(of_held), fold.test)
        both = np.stack([table.drug_a, table.drug_b])[:, fold.validation]
        assert np.isin(both, list(validated)).any(axis=0).all()


def test_given_folds_in_turn_with_the_next_as_validation(synergy):
    table = read_synergy(synergy)
    parts = [(set(table.fold[f.test]), set(table.fold[f.validation])) for f in synergy_folds(table)]
    assert parts == [({i}, {(i + 1) % 5}) for i in range(5)]


def test_two_given_folds_are_validated_on_pairs(synergy):
    table = read_synergy(synergy.assign(fold=synergy["fold"] > 2))
    for fold in synergy_folds(table, validation_share=0.3):
        assert not units_of(table, fold.train, "pairs") & units_of(table, fold.validation, "pairs")
        assert 0 < len(fold.validation) < len(fold.train)


def test_one_split_with_a_share(synergy):
    table = read_synergy(synergy)
    (fold,) = synergy_folds(table, "pairs", test_share=0.25)
    assert len(fold.test) == 7 * 6


def test_given_folds_of_lines_are_taken_with_a_warning(synergy):
    table = read_synergy(synergy.assign(fold=synergy["cell_line"]))
    with pytest.warns(UserWarning, match="28 pairs of drugs are in several of the given folds"):
        parts = list(synergy_folds(table))
    assert len(parts) == 6
    assert all(len(units_of(table, fold.test, "lines")) == 1 for fold in parts)


def test_what_cannot_be_split(synergy):
    table = read_synergy(synergy)
    with pytest.raises(ValueError, match=r"split= one of \['given', .*found 'random'"):
        synergy_folds(table, "random")
    with pytest.raises(ValueError, match="Add a column 'fold', pass fold_key="):
        synergy_folds(read_synergy(synergy.drop(columns="fold")))
    with pytest.raises(ValueError, match="at least two folds for split='given', found one"):
        synergy_folds(read_synergy(synergy.assign(fold=1)))
    with pytest.raises(ValueError, match="n_folds=7 cell lines and two beside a test, found 6"):
        synergy_folds(table, "lines", n_folds=7)
    few = read_synergy(synergy[synergy["drug_a"].eq("drug 0") & synergy["drug_b"].ne("drug 7")])
    with pytest.raises(ValueError, match=r"rows for training, .* of split='drugs', found 0,"):
        list(synergy_folds(few, "drugs", n_folds=3))
