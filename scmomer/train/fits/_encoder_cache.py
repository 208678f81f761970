"""Outputs of the frozen encoders, computed once for stage 3."""

from __future__ import annotations

import torch

from scmomer.data import Cells, Split
from scmomer.inference import Inference
from scmomer.module import SCMOMERModule


@torch.no_grad()
def cache_encoders(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Encode all cells and keep the embeddings with them."""
    cells.embeddings = {
        m: torch.from_numpy(Inference(module, cells.select_modality(m)).encode(m))
        for m in cells.counts
    }
