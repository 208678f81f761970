"""Pure torch: tokens, attention, encoders, fusion, bridge, decoders, losses. No AnnData here."""

from scmomer.module._config import (
    ATACConfig,
    ModuleConfig,
    RNAConfig,
    StageConfig,
    get_config,
    resolve_attention,
)
from scmomer.module._module import CellBatch, SCMOMERModule
from scmomer.module._patches import PatchLayout, patch_layout
from scmomer.module._rows import SparseRows

__all__ = [
    "ATACConfig",
    "CellBatch",
    "ModuleConfig",
    "PatchLayout",
    "RNAConfig",
    "SCMOMERModule",
    "SparseRows",
    "StageConfig",
    "get_config",
    "patch_layout",
    "resolve_attention",
]
