"""A network over cells without gradients: embeddings and translations."""

from scmomer.inference._inference import Depth, Embeddings, Inference, cells_by_pattern, to_device

__all__ = ["Depth", "Embeddings", "Inference", "cells_by_pattern", "to_device"]
