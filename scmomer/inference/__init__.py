"""A network over cells without gradients: embeddings, translations, gene tokens."""

from scmomer.inference._gene_tokens import GeneTokens, gene_tokens
from scmomer.inference._inference import (
    Depth,
    Embeddings,
    Inference,
    cells_by_pattern,
    check_indices,
    to_device,
)

__all__ = [
    "Depth",
    "Embeddings",
    "GeneTokens",
    "Inference",
    "cells_by_pattern",
    "check_indices",
    "gene_tokens",
    "to_device",
]
