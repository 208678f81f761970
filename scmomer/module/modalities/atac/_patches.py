"""Patches: runs of neighboring peaks of one chromosome, or of consecutive peaks as published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scmomer.module.modalities.atac._peaks import PeakPositions, plain_chromosomes


@dataclass(frozen=True)
class PatchLayout:
    """Where each peak sits; arrays are in the order of the model's peaks, not of the genome."""

    patch: Tensor
    """Patch of each peak, shape ``(n_peaks,)``, int64."""
    slot: Tensor
    """Position of each peak inside its patch, shape ``(n_peaks,)``, int64."""
    sizes: Tensor
    """Peaks of each patch, shape ``(n_patches,)``, int64."""

    @property
    def n_peaks(self) -> int:
        """Number of peaks."""
        return self.patch.shape[0]

    @property
    def n_patches(self) -> int:
        """Number of patches."""
        return self.sizes.shape[0]

    @property
    def patch_size(self) -> int:
        """Peaks of the largest patch."""
        return int(self.sizes.max())

    @property
    def peak_index(self) -> Tensor:
        """Index of each peak itself, shape ``(n_peaks,)``."""
        return torch.arange(self.n_peaks)


def patch_layout(chromosome: np.ndarray, start: np.ndarray, n_patches: int) -> PatchLayout:
    """Cut peaks in genomic order into patches of about equal size.

    A patch never crosses a chromosome. Each chromosome gets a number of patches in proportion to
    its peaks, and at least one, so the result has `n_patches` patches or, with more chromosomes
    than that, one for each chromosome.

    Parameters
    ----------
    chromosome
        Chromosome of each peak as an integer code, shape ``(n_peaks,)``.
    start
        First base of each peak, shape ``(n_peaks,)``.
    n_patches
        Wanted number of patches.
    """
    n_peaks = len(start)
    order = np.lexsort((start, chromosome))
    sizes = np.unique(chromosome, return_counts=True)[1]  # peaks of each chromosome, in order
    parts = _apportion(sizes, min(n_patches, n_peaks))
    rank = np.arange(n_peaks) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within chromosome
    per_peak_parts, per_peak_size = np.repeat(parts, sizes), np.repeat(sizes, sizes)
    first_patch = np.repeat(np.cumsum(parts) - parts, sizes)
    sorted_patch = first_patch + rank * per_peak_parts // per_peak_size
    patch_sizes = np.bincount(sorted_patch, minlength=parts.sum())
    sorted_slot = np.arange(n_peaks) - (np.cumsum(patch_sizes) - patch_sizes)[sorted_patch]
    patch, slot = np.empty(n_peaks, np.int64), np.empty(n_peaks, np.int64)
    patch[order], slot[order] = sorted_patch, sorted_slot
    return PatchLayout(*(torch.from_numpy(a) for a in (patch, slot, patch_sizes.astype(np.int64))))


def patch_starts(
    layout: PatchLayout, peaks: PeakPositions, known: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return where each patch begins, ``1:1000``, for :func:`inherited_layout`.

    Parameters
    ----------
    layout, peaks
        Patches, and the peaks in them.
    known
        Starts of the first patches, if these were inherited: a patch may be empty.
    """
    names = plain_chromosomes(peaks.chromosomes)
    first = np.full(layout.n_patches, np.iinfo(np.int64).max)
    patch = layout.patch.numpy()
    np.minimum.at(first, patch, peaks.start)
    chromosome = np.zeros(layout.n_patches, np.int64)
    chromosome[patch] = peaks.chromosome
    added = range(len(known), layout.n_patches)
    return (*known, *(f"{names[chromosome[i]]}:{first[i]}" for i in added))


def inherited_layout(peaks: PeakPositions, starts: Sequence[str]) -> PatchLayout:
    """Return the patches of another model with other peaks in them.

    A peak belongs to the last patch of its chromosome that begins at or before it, or else to the
    first one. Chromosomes without a patch get one each, after the others.
    """
    parts = [start.rpartition(":") for start in starts]
    names = plain_chromosomes(peaks.chromosomes)
    new = [name for name in names if name not in {chrom for chrom, _, _ in parts}]
    owner = np.array([*(chrom for chrom, _, _ in parts), *new], dtype=object)
    begins = np.array([*(int(begin) for _, _, begin in parts), *(0 for _ in new)], np.int64)
    patch = np.empty(len(peaks.start), np.int64)
    for code, name in enumerate(names):
        ours = np.flatnonzero(owner == name)
        ours = ours[np.argsort(begins[ours], kind="stable")]
        here = peaks.chromosome == code
        place = np.searchsorted(begins[ours], peaks.start[here], "right") - 1
        patch[here] = ours[np.maximum(place, 0)]
    order = np.lexsort((peaks.start, patch))
    sizes = np.bincount(patch, minlength=len(owner))
    slot = np.empty_like(patch)
    slot[order] = np.arange(len(patch)) - (np.cumsum(sizes) - sizes)[patch[order]]
    return PatchLayout(*(torch.from_numpy(a) for a in (patch, slot, sizes.astype(np.int64))))


def file_layout(n_peaks: int, n_patches: int) -> PatchLayout:
    """Cut peaks in the order of their file into patches of equal size, as the published scripts.

    These pad the peaks at the end to a multiple of `n_patches`. So the last patches can have fewer
    peaks than the others, or none, and a patch may cross chromosomes.
    """
    index = torch.arange(n_peaks)
    patch_size = max(1, -(-n_peaks // n_patches))
    patch = index // patch_size
    return PatchLayout(patch, index % patch_size, torch.bincount(patch, minlength=n_patches))


def _apportion(sizes: np.ndarray, total: int) -> np.ndarray:
    """Share `total` patches among chromosomes so that the largest patch is as small as can be."""
    parts = np.ones(len(sizes), np.int64)
    for _ in range(total - len(sizes)):
        parts[np.argmax(sizes / parts)] += 1
    return parts
