"""Model folders: safetensors and JSON; reading executes nothing and needs no data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scvi.model.base import BaseModelClass
from torch import Tensor, nn

from scmomer.data import ModelSpec, SplitRecord
from scmomer.model._current_model import set_current
from scmomer.model._folder import WEIGHTS, Folder
from scmomer.module import (
    ModuleConfig,
    config_from_dict,
    config_to_dict,
    former_state,
    with_later_tensors,
)

_FOLDER = Folder("model", version=2)


@dataclass(frozen=True)
class ModelFile:
    """What a model folder holds."""

    model_id: str
    spec: ModelSpec
    config: ModuleConfig
    stages: tuple[str, ...]
    split: SplitRecord | None
    """What training and validation cells were drawn from; None in older folders."""
    history: dict[str, pd.DataFrame]
    tensors: dict[str, Tensor]
    origin: dict[str, Any] | None = None
    """What the model began with, if that was another one."""


def write_model(file: ModelFile, path: Path, overwrite: bool) -> None:
    """Write a model folder; an older one is replaced only when the new one is complete."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in file.tensors.items()}
    meta = {
        "model_id": file.model_id,
        "spec": file.spec.to_dict(),
        "config": config_to_dict(file.config),
        "stages": list(file.stages),
        "origin": file.origin,
        "split": None if file.split is None else asdict(file.split),
        "history": {s: t.reset_index().to_dict("list") for s, t in file.history.items()},
    }
    _FOLDER.write(path, tensors, meta, overwrite)


def damage_message(path: Path, error: Exception) -> str:
    """Return the message for a folder whose parts do not make a model."""
    return _FOLDER.damage_message(path, error)


def read_model(path: Path) -> ModelFile:
    """Read a model folder.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it lacks a file.
    ValueError
        If the folder is damaged or was not written by scmomer.
    """
    meta, tensors = _FOLDER.read_meta(path), _FOLDER.read_tensors(path)
    try:
        split = meta.get("split")
        config = config_from_dict(meta["config"])
        tables = {stage: pd.DataFrame(table) for stage, table in meta["history"].items()}
        return ModelFile(
            meta["model_id"],
            ModelSpec.from_dict(meta["spec"]),
            config,
            tuple(meta["stages"]),
            None if split is None else SplitRecord.from_dict(split),
            {stage: table.set_index("epoch") for stage, table in tables.items()},
            with_later_tensors(former_state(tensors), config),
            meta.get("origin"),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(_FOLDER.damage_message(path, error)) from error


def make_ready(model: BaseModelClass, accelerator: str, device: int | str) -> None:
    """Put a model whose weights were read on its device, and remember it as the current one."""
    from scvi.model._utils import parse_device_args

    # Statistics were set before its first stage; those of data given later are not theirs.
    model.is_trained_ = model._is_warm = bool(model.stages_)
    *_, torch_device = parse_device_args(accelerator, device, return_device="torch")
    model.to_device(torch_device)
    model.module.eval()
    set_current(model)


def load_weights(module: nn.Module, found: dict[str, Tensor], path: Path) -> None:
    """Load tensors and report every missing, unexpected and mismatched one."""
    expected = module.state_dict()
    problems = [f"missing {k}" for k in sorted(expected.keys() - found.keys())]
    problems += [f"unexpected {k}" for k in sorted(found.keys() - expected.keys())]
    problems += [
        f"{k} of shape {_shape(found[k])} instead of {_shape(expected[k])}"
        for k in sorted(expected.keys() & found.keys())
        if found[k].shape != expected[k].shape
    ]
    if problems:
        msg = (
            f"Expected the tensors of {str(path / WEIGHTS)!r} to fit its {_FOLDER.meta}, found "
            f"{len(problems)} that "
            f"do not: {'; '.join(problems[:10])}{'; ...' if len(problems) > 10 else ''}. The two "
            "files are not of the same model: save it again or fetch a new copy."
        )
        raise ValueError(msg)
    module.load_state_dict(found)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
