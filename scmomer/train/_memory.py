"""How many cells of a minibatch fit into a device's memory at a time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from scmomer.data import Cells
from scmomer.module import SCMOMERModule

_SHARE = 0.9  # of the free memory
_COPIES = 6  # of the network: weights, gradients, two moments, the best and the last weights
_TILES = 3 * 2**29  # bytes of FAVOR+'s intermediates on a GPU, whatever the batch
_LEAST = 2  # cells, which a false pair is made of


def bytes_per_cell(module: SCMOMERModule, cells: Cells, modalities: Iterable[str]) -> float:
    """Return what training stores for a typical cell in transformers with many tokens."""
    total = 0.0
    for m in modalities:
        encoder = module.modality(m).encoder
        n_tokens = encoder.n_tokens(cells.lengths(m))
        if n_tokens is not None:
            total += float(np.quantile(n_tokens, 0.9)) * encoder.bytes_per_token()
    return total


def free_memory(accelerator: str) -> int | None:
    """Return the bytes that training may use; None on a CPU, where batches are small anyway."""
    if accelerator not in ("auto", "gpu", "cuda") or not torch.cuda.is_available():
        return None
    free, _ = torch.cuda.mem_get_info()
    return free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()


def n_parts(batch_size: int, per_cell: float, module: SCMOMERModule, free: int | None) -> int:
    """Return into how many parts of a minibatch memory divides it; gradients are accumulated.

    Parameters
    ----------
    batch_size
        Cells of the minibatch.
    per_cell
        Bytes that training stores for each; see :func:`bytes_per_cell`.
    module
        The network.
    free
        Bytes there are; None: enough.
    """
    if free is None or not per_cell:
        return 1
    network = sum(p.numel() * p.element_size() for p in module.parameters())
    left = _SHARE * free - _COPIES * network - _TILES
    fits = max(_LEAST, int(left / per_cell))
    return -(-batch_size // fits)
