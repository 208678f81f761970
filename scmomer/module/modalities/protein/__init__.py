"""Surface protein: antibody counts, a perceptron on centered log ratios."""

from scmomer.module.modalities.protein._config import ProteinConfig
from scmomer.module.modalities.protein._encoder import ProteinDecoder, ProteinEncoder
from scmomer.module.modalities.protein._modality import ProteinModality

__all__ = ["ProteinConfig", "ProteinDecoder", "ProteinEncoder", "ProteinModality"]
