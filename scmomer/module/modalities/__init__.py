"""The modalities. A further one is a folder beside these and a line in :data:`MODALITY_TYPES`."""

from scmomer.module.modalities._base import ModalityModule, are_same
from scmomer.module.modalities._encoders import Encoded, Encoder, LatentNorm, MLPEncoder
from scmomer.module.modalities.atac import ATACModality
from scmomer.module.modalities.protein import ProteinModality
from scmomer.module.modalities.rna import RNAModality

MODALITY_TYPES: dict[str, type[ModalityModule]] = {
    kind.name: kind for kind in (RNAModality, ATACModality, ProteinModality)
}
"""All modalities by name, in the order in which everything of several modalities is listed."""

__all__ = [
    "MODALITY_TYPES",
    "Encoded",
    "Encoder",
    "LatentNorm",
    "MLPEncoder",
    "ModalityModule",
    "are_same",
]
