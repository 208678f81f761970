"""Loaders: every cell once, little padding, an order that a seed decides."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from scmomer.data import cell_loader
from scmomer.data._loader import BucketSampler, prefetched
from scmomer.datasets import snareseq_cortex
from scmomer.module.modalities.rna._tokens import length_groups
from scmomer.nn import CellBatch


def skewed(n: int = 3000) -> np.ndarray:
    """Numbers of expressed genes as in a real assay: median 1,000, some five times as many."""
    return np.random.default_rng(0).lognormal(np.log(1000), 0.5, n).astype(int)


def padding(batches: list[np.ndarray], lengths: np.ndarray) -> float:
    """Share of the padded rectangles that is padding."""
    cells = [lengths[batch] for batch in batches]
    area = sum(part.max() * len(part) for part in cells)
    return 1 - sum(part.sum() for part in cells) / area


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("n", "size"), [(1000, 64), (128, 64), (5, 64), (7, 1), (0, 4), (65, 8)])
def test_every_cell_once(n, size, shuffle):
    sampler = BucketSampler(skewed(n), size, shuffle)
    batches = list(sampler)
    assert len(batches) == len(sampler) == -(-n // size)
    assert sorted(np.concatenate([np.empty(0, int), *batches])) == list(range(n))
    assert all(0 < len(batch) <= size for batch in batches)
    assert sum(len(batch) < size for batch in batches) <= 1


def test_sorting_leaves_little_padding():
    lengths = skewed()
    torch.manual_seed(0)
    at_random = list(torch.randperm(3000).numpy().reshape(-1, 50))
    assert padding(at_random, lengths) > 0.5
    assert padding(list(BucketSampler(lengths, 50, shuffle=False)), lengths) < 0.1
    assert padding(list(BucketSampler(lengths, 50, shuffle=True)), lengths) < 0.3


def test_shuffling_depends_on_the_seed_alone():
    sampler = BucketSampler(skewed(), 64, shuffle=True)

    def epoch(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        return [batch.tolist() for batch in sampler]

    assert epoch(0) == epoch(0) != epoch(1)
    torch.manual_seed(0)
    first, second = ([batch.tolist() for batch in sampler] for _ in range(2))
    assert first != second
    earlier = [set(batch) for batch in first]
    assert not any(set(batch) in earlier for batch in second)  # batches are mixed anew
    sizes = np.array([np.median(skewed()[batch]) for batch in first])
    assert 0.25 < (np.diff(sizes) > 0).mean() < 0.75  # and do not come by size


def test_without_shuffling_the_order_is_fixed():
    sampler = BucketSampler(skewed(), 64, shuffle=False)
    assert [b.tolist() for b in sampler] == [b.tolist() for b in sampler]


def with_positions(cells, indices, batch_size: int, shuffle: bool):
    """A loader of both modalities that yields positions in `indices` too."""
    both = ("rna", "atac")
    return cell_loader(
        cells, indices, modalities=both, batch_size=batch_size, shuffle=shuffle, with_position=True
    )


@pytest.mark.parametrize("shuffle", [False, True])
def test_positions_lead_back_to_cells(make_cells, shuffle):
    cells = make_cells()
    indices = np.random.default_rng(0).permutation(60)[:23]
    found = np.zeros((23, 30), np.float32)
    loader = with_positions(cells, indices, 5, shuffle)
    for position, tensors in loader:
        assert tensors.counts["atac"].n_rows == len(position)
        rows = tensors.counts["rna"]
        found[position[rows.row_ids.numpy()], rows.indices.numpy()] = rows.values.numpy()
    np.testing.assert_array_equal(found, cells.counts["rna"][indices].toarray())


def test_loader_without_positions_gives_minibatches(make_cells):
    loader = cell_loader(make_cells(), np.arange(10), modalities=("atac",), batch_size=4)
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    assert [set(tensors.counts) for tensors in batches] == [{"atac"}] * 3
    assert sum(tensors.n_cells for tensors in batches) == 10


@pytest.mark.parametrize("cached", [(), ("atac",), ("rna",), ("rna", "atac")], ids=str)
def test_only_what_an_encoder_reads_is_sorted(make_cells, cached):
    """Where embeddings are cached, batches are as random as can be."""
    cells = make_cells(400)
    cells.embeddings = {key: torch.zeros(400, 8) for key in cached}
    indices = np.random.default_rng(0).permutation(400)

    def batches(shuffle: bool) -> list[np.ndarray]:
        torch.manual_seed(0)
        loader = with_positions(cells, indices, 20, shuffle)
        return [cells.lengths("rna")[indices[position]] for position, _ in loader]

    shuffled, in_order = batches(True), batches(False)
    within = np.mean([batch.var() for batch in shuffled]) / np.concatenate(shuffled).var()
    if "rna" in cached:
        assert within > 0.8  # as in random batches: 19 of 20 parts
        assert np.array_equal(np.concatenate(in_order), cells.lengths("rna")[indices])
    else:
        assert within < 0.2
        assert (np.diff(np.concatenate(in_order)) >= 0).all()


def test_cached_embeddings_are_those_of_the_cells(make_cells):
    cells = make_cells()
    cells.embeddings = {"rna": torch.arange(60.0)[:, None], "atac": torch.zeros(60, 1)}
    indices = np.array([7, 3, 50, 11, 20])
    loader = with_positions(cells, indices, 2, True)
    seen = []
    for position, tensors in loader:
        assert tensors.encoded["rna"][:, 0].tolist() == indices[position].tolist()
        seen += position.tolist()
    assert sorted(seen) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("shuffle", [False, True])
def test_less_than_a_tenth_of_what_is_computed_on_snareseq_is_padding(shuffle):
    lengths = np.diff(snareseq_cortex()["rna"].X.indptr)
    torch.manual_seed(0)
    computed = 0
    for batch in BucketSampler(lengths, 64, shuffle):
        cells = lengths[batch]
        runs = length_groups(cells) or ((0, len(cells), max(1, int(cells.max()))),)
        computed += sum((stop - start) * length for start, stop, length in runs)
    share = 1 - lengths.sum() / computed
    assert 0 < share < 0.1


@pytest.mark.parametrize("shuffle", [False, True])
def test_cells_of_a_batch_have_the_same_modalities(shuffle):
    patterns = np.random.default_rng(0).integers(0, 3, 1000)
    sampler = BucketSampler(skewed(1000), 64, shuffle, patterns)
    batches = list(sampler)
    assert len(batches) == len(sampler) == sum(-(-n // 64) for n in np.bincount(patterns))
    assert sorted(np.concatenate(batches)) == list(range(1000))
    assert all(len(set(patterns[batch])) == 1 for batch in batches)


def test_one_pattern_changes_nothing():
    plain, sized = (BucketSampler(skewed(), 64, True, p) for p in (None, np.full(3000, 5)))
    epochs = []
    for sampler in (plain, sized):
        torch.manual_seed(0)
        epochs.append([batch.tolist() for batch in sampler])
    assert epochs[0] == epochs[1]


def test_a_minibatch_holds_what_its_cells_have(make_cells):
    cells = make_cells(without={"rna": [0, 1, 2], "atac": [10, 11]})
    loader = cell_loader(cells, np.arange(60), modalities=("rna", "atac"), batch_size=16)
    found = [tuple(sorted(tensors.counts)) for tensors in loader]
    assert sorted(set(found)) == [("atac",), ("atac", "rna"), ("rna",)]
    sizes = dict.fromkeys(found, 0)
    for kind, tensors in zip(found, loader, strict=True):
        sizes[kind] += tensors.n_cells
    assert sizes == {("atac",): 3, ("rna",): 2, ("atac", "rna"): 55}


def loader_threads() -> int:
    """Threads of loaders that are there."""
    return sum(thread.name.startswith("scmomer-loader") for thread in threading.enumerate())


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 50])
def test_prefetching_changes_nothing(n):
    assert list(prefetched(iter(range(n)))) == list(range(n))
    assert loader_threads() == 0


def test_errors_of_a_prefetched_minibatch_are_raised_in_their_place():
    def items():
        yield from range(2)
        raise KeyError("peak")

    found = prefetched(items())
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(KeyError, match="peak"):
        next(found)
    assert loader_threads() == 0


def test_a_loop_that_ends_early_leaves_no_thread():
    for item in (found := prefetched(iter(range(100)))):
        if item == 3:
            break
    assert loader_threads() == 1
    found.close()
    assert loader_threads() == 0


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_gpu_gets_the_same_minibatches_pinned(make_cells, monkeypatch, shuffle):
    cells, pinned = make_cells(), []

    def epoch() -> tuple[list[list[int]], int]:
        torch.manual_seed(0)
        loader = with_positions(cells, np.arange(60), 7, shuffle)
        found = [position.tolist() for position, _ in loader]
        return found, int(torch.randint(1000, ()))  # where the random numbers stand afterwards

    on_host = epoch()
    monkeypatch.setattr("scmomer.data._loader._feeds_gpu", lambda: True)
    monkeypatch.setattr(CellBatch, "pin_memory", lambda self: pinned.append(self) or self)
    assert epoch() == on_host
    assert len(pinned) == len(on_host[0])
