"""A network over cells without gradients: embeddings and translations."""

from scmomer.inference._inference import Depth, Embeddings, Inference, cells_by_pattern, to_device
from scmomer.inference._translation import head_embeddings, opinions

__all__ = [
    "Depth",
    "Embeddings",
    "Inference",
    "cells_by_pattern",
    "head_embeddings",
    "opinions",
    "to_device",
]
