"""Patches: runs of neighboring peaks of one chromosome, or of consecutive peaks as published."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


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
