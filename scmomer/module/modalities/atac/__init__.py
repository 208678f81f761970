"""ATAC: open peaks, a ViT over genomic patches."""

from scmomer.module.modalities.atac._config import ATACConfig
from scmomer.module.modalities.atac._encoder import ViTEncoder
from scmomer.module.modalities.atac._modality import ATACModality
from scmomer.module.modalities.atac._patches import PatchLayout, file_layout, patch_layout
from scmomer.module.modalities.atac._peaks import (
    PeakPositions,
    are_peaks,
    looks_like_peaks,
    parse_peaks,
    peaks_in_one_notation,
    plain_chromosomes,
)

__all__ = [
    "ATACConfig",
    "ATACModality",
    "PatchLayout",
    "PeakPositions",
    "ViTEncoder",
    "are_peaks",
    "file_layout",
    "looks_like_peaks",
    "parse_peaks",
    "patch_layout",
    "peaks_in_one_notation",
    "plain_chromosomes",
]
