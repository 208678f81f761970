"""How many cells of a minibatch fit into a device's memory at a time."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable

import numpy as np
import torch
from scvi import settings

from scmomer.data import Cells
from scmomer.module import SCMOMERModule
from scmomer.nn import free_memory, release_memory

logger = logging.getLogger(__name__)
_SHARE = 0.9  # of the free memory
_COPIES = 6  # of the network: weights, gradients, two moments, the best and the last weights
_TILES = 3 * 2**29  # bytes of FAVOR+'s intermediates on a GPU, whatever the batch
_LEAST = 2  # cells, which a false pair is made of


def tokens_per_cell(
    module: SCMOMERModule, cells: Cells, modalities: Iterable[str] | None = None
) -> float:
    """Return the tokens of a typical cell in a transformer; 0 if they are always few."""
    chosen = cells.counts if modalities is None else modalities
    found = (module.modality(m).encoder.n_tokens(cells.lengths(m)) for m in chosen)
    return max((float(np.quantile(n, 0.9)) for n in found if n is not None), default=0.0)


def bytes_per_cell(module: SCMOMERModule, cells: Cells, modalities: Iterable[str]) -> float:
    """Return what training stores for a typical cell in transformers with many tokens."""
    return sum(
        tokens_per_cell(module, cells, [m]) * module.modality(m).encoder.bytes_per_token()
        for m in modalities
    )


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
    left = _SHARE * free - _fixed(module)
    fits = max(_LEAST, int(left / per_cell))
    return -(-batch_size // fits)


def _fixed(module: SCMOMERModule) -> int:
    """Return the bytes that training needs whatever the batch."""
    return _COPIES * sum(p.numel() * p.element_size() for p in module.parameters()) + _TILES


def log_fit(
    stage: str,
    module: SCMOMERModule,
    device: torch.device,
    *,
    batch_size: int,
    parts: int,
    n_tokens: float,
    per_cell: float,
    precision: str,
) -> None:
    """Say before a stage what a step holds and needs; nothing on a CPU."""
    free = free_memory(device)
    if free is None:
        return
    at_once = -(-batch_size // parts)
    tokens = f", up to about {batch_size * n_tokens:,.0f} tokens" if n_tokens else ""
    apart = f", {at_once} cells at a time" if parts > 1 else ""
    logger.info(
        "Stage %r on %s (%s): %d cells%s in each step%s. Needs about %.1f of %.1f GB free.",
        stage,
        device,
        precision,
        batch_size,
        tokens,
        apart,
        (_fixed(module) + at_once * per_cell) / 1e9,
        free / 1e9,
    )


def more_parts(stage: str, batch_size: int, parts: int, device: torch.device) -> int:
    """Return parts of half the cells, after memory ran out; warn.

    Raises
    ------
    torch.OutOfMemoryError
        If the parts cannot be smaller.
    """
    release_memory(device)
    size, free = -(-batch_size // parts), (free_memory(device) or 0) / 1e9
    if size <= _LEAST:
        msg = (
            f"Expected memory for {size} cells of stage {stage!r} at a time on {device}, found "
            f"{free:.1f} GB free. End other processes that use it, build a smaller model, for "
            "example size='small', or train with accelerator='cpu'."
        )
        raise torch.OutOfMemoryError(msg)
    half = max(_LEAST, size // 2)
    warnings.warn(
        f"Stage {stage!r} ran out of memory on {device} with {size} cells at a time. It begins "
        f"again with {half} at a time ({free:.1f} GB free); a step still has {batch_size} cells, "
        "whose gradients are summed.",
        UserWarning,
        stacklevel=settings.warnings_stacklevel,
    )
    return -(-batch_size // half)
