"""RNA: log expression, a Performer over genes."""

from scmomer.module.modalities.rna._config import (
    RNAConfig,
    resolve_attention,
    resolve_encoder,
    resolve_for_depth,
)
from scmomer.module.modalities.rna._encoder import PerformerEncoder
from scmomer.module.modalities.rna._modality import RNAModality
from scmomer.module.modalities.rna._names import strip_versions
from scmomer.module.modalities.rna._tokens import Packing

__all__ = [
    "Packing",
    "PerformerEncoder",
    "RNAConfig",
    "RNAModality",
    "resolve_attention",
    "resolve_encoder",
    "resolve_for_depth",
    "strip_versions",
]
