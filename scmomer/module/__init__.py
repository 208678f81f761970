"""The network: modalities, bridges, fusion, decoders. Pure torch; no AnnData here."""

from scmomer.module._bridge import Bridge, TranslationHead
from scmomer.module._config import (
    ATACConfig,
    ModuleConfig,
    RNAConfig,
    StageConfig,
    get_config,
    resolve_attention,
)
from scmomer.module._decoder import Decoder
from scmomer.module._module import SCMOMERModule
from scmomer.module.modalities import KINDS
from scmomer.module.modalities.atac._encoder import ViTEncoder
from scmomer.module.modalities.atac._patches import PatchLayout, patch_layout
from scmomer.module.modalities.protein._encoder import ProteinDecoder, ProteinEncoder

__all__ = [
    "ATACConfig",
    "Bridge",
    "Decoder",
    "KINDS",
    "ModuleConfig",
    "PatchLayout",
    "ProteinDecoder",
    "ProteinEncoder",
    "RNAConfig",
    "SCMOMERModule",
    "StageConfig",
    "TranslationHead",
    "ViTEncoder",
    "get_config",
    "patch_layout",
    "resolve_attention",
]
