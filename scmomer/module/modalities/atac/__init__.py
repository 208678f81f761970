"""ATAC: open peaks, a ViT over genomic patches."""

from scmomer.module.modalities.atac._config import ATACConfig
from scmomer.module.modalities.atac._encoder import ViTEncoder
from scmomer.module.modalities.atac._intervals import (
    IntervalPairs,
    Spans,
    containing_center,
    on_one_line,
    overlapping,
    shared_chromosomes,
)
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
    "IntervalPairs",
    "PatchLayout",
    "PeakPositions",
    "Spans",
    "ViTEncoder",
    "are_peaks",
    "containing_center",
    "file_layout",
    "looks_like_peaks",
    "on_one_line",
    "overlapping",
    "parse_peaks",
    "patch_layout",
    "peaks_in_one_notation",
    "plain_chromosomes",
    "shared_chromosomes",
]
