"""What a device can do, how much memory it has left, and whether an error says that it ran out."""

from __future__ import annotations

import gc
import importlib.util
import logging
from functools import cache

import torch

logger = logging.getLogger(__name__)
_BFLOAT16 = (8, 0)  # compute capability of cards that multiply it at full rate (Ampere)
_ROOMY = (9, 10)  # major compute capability: Hopper, Blackwell
_TRITON = (8, 0)  # the oldest that the kernels here compile for: matrix units for bfloat16, TF32


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 fast; of a card that does not, say so once.

    Parameters
    ----------
    device
        Where the network is or will be.

    Returns
    -------
    True for CUDA cards of compute capability 8 or more, otherwise False.
    """
    if device.type != "cuda":
        return False
    if (found := _capability(device)) >= _BFLOAT16:
        return True
    _say(f"{_name(device, found)} has no fast bfloat16: training runs in float32.")
    return False


def supports_triton(device: torch.device) -> bool:
    """Return whether the kernels in Triton run on a device; of a card that cannot, say so once.

    Parameters
    ----------
    device
        Where the network is.

    Returns
    -------
    True for CUDA cards of compute capability 8 or more if triton is installed, otherwise False.
    """
    if device.type != "cuda":
        return False
    if (found := _capability(device)) < _TRITON:
        _say(
            f"{_name(device, found)} is too old for the fast kernels in Triton: slower kernels of torch are used."
        )
        return False
    if importlib.util.find_spec("triton") is None:
        _say(
            "triton is not installed (needed for fast kernels on a GPU): slower kernels of torch "
            "are used. Install it with: pip install triton"
        )
        return False
    return True


def is_roomy(device: torch.device) -> bool:
    """Return whether a program on the device has 227 kB of shared memory.

    Data-center cards have, from Hopper on; consumer cards have 99 kB.
    """
    return device.type != "cuda" or _capability(device)[0] in _ROOMY


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that a GPU has for further tensors; None on a CPU.

    Includes what torch keeps of freed tensors. On Apple silicon: what is left of the memory that
    the system recommends to use.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        used = torch.mps.current_allocated_memory()
        return max(0, torch.mps.recommended_max_memory() - used)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the memory of a GPU is full; MPS has no type for it."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "mps backend out of memory" in str(error).lower()


def release_memory(device: torch.device) -> None:
    """Give back the memory of tensors that nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


def _name(device: torch.device, capability: tuple[int, int]) -> str:
    major, minor = capability
    return f"{torch.cuda.get_device_name(device)} (compute capability {major}.{minor})"


@cache
def _say(message: str) -> None:
    """Log a message the first time only."""
    logger.warning(message)
