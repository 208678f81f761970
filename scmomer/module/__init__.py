"""The network: modalities, bridges, fusion, decoders. No AnnData here."""

from scmomer.module._bridge import Bridge
from scmomer.module._config import BridgeConfig, ModuleConfig, StageConfig
from scmomer.module._decoder import Decoder
from scmomer.module._module import CellEmbeddings, SCMOMERModule, average_predictions
from scmomer.module._older_weights import former_state, present_name
from scmomer.module._presets import config_from_dict, config_to_dict, get_config
from scmomer.module.modalities import (
    MODALITY_TYPES,
    Encoded,
    Encoder,
    MLPEncoder,
    ModalityModule,
)
from scmomer.module.modalities.atac import (
    ATACConfig,
    PatchLayout,
    PeakPositions,
    ViTEncoder,
    are_peaks,
    file_layout,
    looks_like_peaks,
    parse_peaks,
    patch_layout,
    peaks_in_one_notation,
    plain_chromosomes,
)
from scmomer.module.modalities.protein import ProteinConfig, ProteinDecoder, ProteinEncoder
from scmomer.module.modalities.rna import (
    PerformerEncoder,
    RNAConfig,
    RNAModality,
    resolve_attention,
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
    "MLPEncoder",
    "ModalityModule",
    "ModuleConfig",
    "PatchLayout",
    "PeakPositions",
    "PerformerEncoder",
    "ProteinConfig",
    "ProteinDecoder",
    "ProteinEncoder",
    "RNAConfig",
    "RNAModality",
    "SCMOMERModule",
    "StageConfig",
    "ViTEncoder",
    "are_peaks",
    "average_predictions",
    "config_from_dict",
    "config_to_dict",
    "file_layout",
    "former_state",
    "get_config",
    "looks_like_peaks",
    "parse_peaks",
    "patch_layout",
    "peaks_in_one_notation",
    "plain_chromosomes",
    "present_name",
    "resolve_attention",
]
