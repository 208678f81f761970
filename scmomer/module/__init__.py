"""The network: modalities, bridges, fusion, decoders. No AnnData here."""

from scmomer.module._bridge import Bridge
from scmomer.module._config import BridgeConfig, ModuleConfig, StageConfig
from scmomer.module._decoder import Decoder
from scmomer.module._freezing import frozen_parameters, has_point, part_names
from scmomer.module._module import CellEmbeddings, SCMOMERModule, average_predictions
from scmomer.module._older_weights import former_state, present_name, with_later_tensors
from scmomer.module._presets import config_from_dict, config_to_dict, get_config
from scmomer.module._transfer import Transfer, copy_tensors, modality_of
from scmomer.module.modalities import (
    MODALITY_TYPES,
    Encoded,
    Encoder,
    MLPEncoder,
    ModalityModule,
)
from scmomer.module.modalities.atac import (
    ATACConfig,
    IntervalPairs,
    PatchLayout,
    PeakPositions,
    Spans,
    ViTEncoder,
    are_peaks,
    containing_center,
    file_layout,
    looks_like_peaks,
    on_one_line,
    overlapping,
    parse_peaks,
    patch_layout,
    peaks_in_one_notation,
    plain_chromosomes,
    shared_chromosomes,
)
from scmomer.module.modalities.protein import (
    ProteinConfig,
    ProteinDecoder,
    ProteinEncoder,
    ProteinModality,
)
from scmomer.module.modalities.rna import (
    Packing,
    PerformerEncoder,
    RNAConfig,
    RNAModality,
    resolve_attention,
    resolve_encoder,
    resolve_for_depth,
    strip_versions,
)

__all__ = [
    "MODALITY_TYPES",
    "ATACConfig",
    "Bridge",
    "BridgeConfig",
    "CellEmbeddings",
    "Decoder",
    "Encoded",
    "Encoder",
    "IntervalPairs",
    "MLPEncoder",
    "ModalityModule",
    "ModuleConfig",
    "Packing",
    "PatchLayout",
    "PeakPositions",
    "PerformerEncoder",
    "ProteinConfig",
    "ProteinDecoder",
    "ProteinEncoder",
    "ProteinModality",
    "RNAConfig",
    "RNAModality",
    "SCMOMERModule",
    "Spans",
    "StageConfig",
    "Transfer",
    "ViTEncoder",
    "are_peaks",
    "average_predictions",
    "config_from_dict",
    "config_to_dict",
    "containing_center",
    "copy_tensors",
    "file_layout",
    "former_state",
    "frozen_parameters",
    "get_config",
    "has_point",
    "looks_like_peaks",
    "modality_of",
    "on_one_line",
    "overlapping",
    "parse_peaks",
    "part_names",
    "patch_layout",
    "peaks_in_one_notation",
    "plain_chromosomes",
    "present_name",
    "with_later_tensors",
    "resolve_attention",
    "resolve_encoder",
    "resolve_for_depth",
    "shared_chromosomes",
    "strip_versions",
]
