"""Where training runs, and in which precision."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from scvi.model._utils import parse_device_args

from scmomer.nn import has_bfloat16


def training_device(accelerator: str, devices: int | list[int] | str) -> torch.device:
    """Return the (first) device that scvi-tools' ``TrainRunner`` takes for these arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the runner gives the same ones
        return parse_device_args(accelerator, devices, return_device="torch")[2]


def choose_precision(device: torch.device, trainer_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return trainer arguments with ``precision``: bfloat16 products where a card has them fast.

    float16 is never chosen: its range is too small for the exponentials of FAVOR+.

    Raises
    ------
    ValueError
        If 16 bits are asked for on a CPU.
    """
    wanted = trainer_kwargs.get("precision")
    if wanted is not None:
        if device.type == "cpu" and "16" in str(wanted):
            msg = (
                f"Expected precision='32-true' on a CPU, found {wanted!r}, which most CPUs emulate: "
                "hundreds of times slower. Leave precision= out, or train on a GPU with "
                "accelerator='gpu'."
            )
            raise ValueError(msg)
        return trainer_kwargs
    if "plugins" in trainer_kwargs or not has_bfloat16(device):
        return trainer_kwargs  # plugins may set a precision of their own
    return {**trainer_kwargs, "precision": "bf16-mixed"}
