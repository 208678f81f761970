"""Splits into train, validation and test cells."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import scvi

from scmomer.data import SparseDataSplitter, split_cells
from scmomer.data._split import SplitRecord


@pytest.fixture(autouse=True)
def seed(monkeypatch):
    """Each test starts from scvi-tools' seed 0 and leaves what was there."""
    before = scvi.settings.seed
    scvi.settings.seed = 0
    yield
    scvi.settings.seed = before


@pytest.mark.parametrize(
    ("train_size", "validation_size", "expected"),
    [
        (None, None, (95, 5, 0)),
        (0.5, None, (50, 50, 0)),
        (0.5, 0.2, (50, 20, 30)),
        (1.0, None, (100, 0, 0)),
        (0.8, 0.0, (80, 0, 20)),
    ],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_sizes(train_size, validation_size, expected, shuffle):
    parts = split_cells(100, train_size, validation_size, shuffle)
    assert tuple(len(part) for part in parts) == expected
    assert sorted(np.concatenate(parts)) == list(range(100))
    if not shuffle:
        assert np.concatenate([parts[1], parts[0], parts[2]]).tolist() == list(range(100))


def test_the_seed_decides():
    first = split_cells(100, 0.5, 0.2)
    again = split_cells(100, 0.5, 0.2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    scvi.settings.seed = 1
    assert not np.array_equal(split_cells(100, 0.5, 0.2)[0], first[0])


@pytest.mark.parametrize(
    ("train_size", "validation_size"), [(0.0, None), (1.1, None), (0.5, 1.0), (0.9, 0.2)]
)
def test_impossible_sizes_are_errors(train_size, validation_size):
    with pytest.raises(ValueError, match="train_size|validation_size"):
        split_cells(100, train_size, validation_size)


def test_no_cells_is_an_error():
    with pytest.raises(ValueError, match="no cells"):
        split_cells(0)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_record_draws_what_was_drawn(shuffle):
    record = SplitRecord.new(np.float32(0.5), 0.25, shuffle)
    expected = split_cells(100, 0.5, 0.25, shuffle)
    scvi.settings.seed = 1
    again = SplitRecord.from_dict(json.loads(json.dumps(asdict(record))))
    assert again == record
    for part, other in zip(again.draw(100), expected, strict=True):
        assert np.array_equal(part, other)


def test_without_a_seed_a_record_has_one_of_its_own():
    scvi.settings.seed = None
    state = np.random.get_state()[1].copy()
    one, other = SplitRecord.new(), SplitRecord.new()
    assert one.seed != other.seed
    assert np.array_equal(one.draw(100)[0], one.draw(100)[0])
    assert not np.array_equal(one.draw(100)[0], other.draw(100)[0])
    assert np.array_equal(np.random.get_state()[1], state)  # no draw of the user's


@pytest.mark.parametrize(
    "wrong", [{"seed": None}, {"seed": -1}, {"seed": "0"}, {"seed": 0, "train_size": 2}]
)
def test_what_is_no_record_is_an_error(wrong):
    with pytest.raises(ValueError, match="Expected"):
        SplitRecord.from_dict(wrong)


def test_loaders_read_their_part(make_cells):
    cells = make_cells(60)
    cells.labels = np.arange(60)
    split = split_cells(60, 0.5, 0.3, 8)
    data = SparseDataSplitter(cells, split, modalities=("rna", "atac"), batch_size=7)
    assert (data.n_train, data.n_val) == (30, 18)
    for loader, part in ((data.train_dataloader(), split[0]), (data.val_dataloader(), split[1])):
        seen = np.concatenate([tensors.labels for tensors in loader])
        assert sorted(seen) == sorted(part)
    orders = [[t.labels.tolist() for t in data.val_dataloader()] for _ in range(2)]
    assert orders[0] == orders[1]
    orders = [[t.labels.tolist() for t in data.train_dataloader()] for _ in range(2)]
    assert orders[0] != orders[1]


def test_no_validation_cells_means_no_loader(make_cells):
    split = split_cells(60, 1.0, None, 8)
    data = SparseDataSplitter(make_cells(60), split, modalities=("rna",), batch_size=7)
    assert data.val_dataloader() == []
