"""Genomic patches: a partition that respects chromosomes and genomic order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scmomer.module import file_layout, patch_layout

CASES = {
    "even": ([40, 40, 40], 12),
    "uneven": ([100, 7, 1, 33], 16),
    "one chromosome": ([50], 8),
    "more chromosomes than patches": ([5, 1, 8, 3, 2, 9], 3),
    "as many chromosomes as patches": ([5, 1, 8], 3),
    "fewer peaks than patches": ([3, 2, 1], 64),
    "many contigs": ([1000, 1, 1, 1, 1, 1, 200], 16),
    "contigs and few patches": ([100, 1, 1, 1], 3),
    "single peak": ([1], 4),
    "one patch": ([10, 4], 1),
}


def draw(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Chromosomes and starts of peaks in random order."""
    rng = np.random.default_rng(seed)
    chromosome = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return chromosome, rng.permutation(10 * len(chromosome))[: len(chromosome)]


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request) -> tuple[np.ndarray, np.ndarray, int]:
    """Peaks and the wanted number of patches."""
    sizes, n_patches = request.param
    return *draw(sizes), n_patches


def test_every_peak_has_its_own_place(case):
    layout = patch_layout(*case)
    places = set(zip(layout.patch.tolist(), layout.slot.tolist(), strict=True))
    assert len(places) == layout.n_peaks == len(case[0])
    assert torch.equal(torch.bincount(layout.patch), layout.sizes)
    assert (layout.sizes > 0).all()
    assert (layout.slot >= 0).all() and (layout.slot < layout.sizes[layout.patch]).all()
    assert layout.patch_size == layout.sizes.max()


def test_patches_do_not_cross_chromosomes(case):
    chromosome = torch.from_numpy(case[0])
    layout = patch_layout(*case)
    for patch in range(layout.n_patches):
        assert len(chromosome[layout.patch == patch].unique()) == 1


def test_places_follow_the_genome(case):
    chromosome, start, n_patches = case
    layout = patch_layout(chromosome, start, n_patches)
    order = np.lexsort((start, chromosome))
    places = layout.patch[order] * (layout.patch_size + 1) + layout.slot[order]
    assert (places.diff() > 0).all()


def test_number_of_patches(case):
    chromosome, start, n_patches = case
    n_chromosomes, n_peaks = len(np.unique(chromosome)), len(start)
    layout = patch_layout(chromosome, start, n_patches)
    assert layout.n_patches == max(n_chromosomes, min(n_patches, n_peaks))


def test_permuting_peaks_permutes_places(case):
    chromosome, start, n_patches = case
    layout = patch_layout(chromosome, start, n_patches)
    order = np.random.default_rng(1).permutation(len(start))
    shuffled = patch_layout(chromosome[order], start[order], n_patches)
    assert torch.equal(shuffled.patch, layout.patch[order])
    assert torch.equal(shuffled.slot, layout.slot[order])
    assert torch.equal(shuffled.sizes, layout.sizes)


def test_patches_have_about_the_same_size():
    chromosome, start = draw([2000, 1500, 1200, 900, 400])
    layout = patch_layout(chromosome, start, 60)
    assert layout.n_patches == 60
    assert layout.sizes.min() > 85 and layout.sizes.max() < 115  # the mean is 100
    within = [layout.sizes[layout.patch[torch.from_numpy(chromosome == c)]] for c in range(5)]
    assert all(sizes.max() - sizes.min() <= 1 for sizes in within)


def test_codes_of_chromosomes_may_have_gaps():
    chromosome, start = draw([20, 10, 5])
    layout, gaps = patch_layout(chromosome, start, 7), patch_layout(3 * chromosome + 2, start, 7)
    assert torch.equal(layout.patch, gaps.patch) and torch.equal(layout.slot, gaps.slot)


@pytest.mark.parametrize(("n_peaks", "n_patches"), [(24, 6), (31, 6), (26, 6), (5, 8), (1, 3)])
def test_patches_in_file_order(n_peaks, n_patches):
    layout = file_layout(n_peaks, n_patches)
    size = -(-n_peaks // n_patches)
    assert (layout.n_patches, layout.patch_size, layout.n_peaks) == (n_patches, size, n_peaks)
    assert torch.equal(layout.patch * size + layout.slot, torch.arange(n_peaks))
    assert torch.equal(torch.bincount(layout.patch, minlength=n_patches), layout.sizes)
