"""Outputs of the frozen encoders, computed once for stage 3."""

from __future__ import annotations

import torch

from scmomer.data import Cells, Split
from scmomer.inference import Inference
from scmomer.module import SCMOMERModule

_SHARE = 0.1  # of a GPU's free memory, for embeddings that stay there


@torch.no_grad()
def cache_encoders(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Encode all cells and keep the embeddings with them, on the module's device if they fit."""
    found = {
        m: torch.from_numpy(Inference(module, cells.select_modality(m)).encode(m))
        for m in cells.counts
    }
    n_bytes = sum(known.numel() * known.element_size() for known in found.values())
    device = module.device if fits_beside(n_bytes, module.device) else torch.device("cpu")
    cells.embeddings = {m: known.to(device) for m, known in found.items()}


def fits_beside(n_bytes: int, device: torch.device) -> bool:
    """Return whether so many bytes may stay on a device all through a stage."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes <= _SHARE * free
