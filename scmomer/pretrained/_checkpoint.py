"""Checkpoint files of other programs: tensors by name, all accounted for."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Target:
    """Where a tensor of a checkpoint goes."""

    name: str
    """Name in the network."""
    change: Callable[[Tensor], Tensor] = lambda tensor: tensor
    """Conversion from the published layout to ours."""


@dataclass(frozen=True)
class LeftOut:
    """Why a tensor of a checkpoint is not used."""

    reason: str


Plan = Mapping[str, Target | LeftOut]
"""Use of each tensor, by its published name."""


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint; nothing in the file is executed.

    Accepts a state dictionary, or a dictionary with a state dictionary under ``model_state_dict``
    (optimizer and scheduler are ignored), with or without the prefix ``module.``.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it is not a checkpoint, has values other than tensors, or would need unpickling.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        msg = f"Expected a checkpoint file at {str(path)!r}, found {found}. Check the path."
        raise FileNotFoundError(msg)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile, KeyError) as error:
        msg = (
            f"Expected tensors in {str(path)!r}, found a file that is damaged, is not a "
            "checkpoint, "
            f"or has objects that need code to be executed: {str(error)[:200]} "
            "Download the file again; scmomer never executes code of a file."
        )
        raise ValueError(msg) from error
    tensors = content.get("model_state_dict", content) if isinstance(content, dict) else content
    if not isinstance(tensors, dict) or not tensors:
        raise _not_tensors(path, type(tensors).__name__)
    strange = [k for k, v in tensors.items() if not isinstance(v, Tensor)]
    if strange:
        raise _not_tensors(path, f"a dictionary with {strange[:5]}")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _not_tensors(path: Path, found: str) -> ValueError:
    return ValueError(
        f"Expected a dictionary of tensors in {str(path)!r}, at the top or under "
        f"'model_state_dict', found {found}. Pass a checkpoint of scBERT or scMomer."
    )


def lacks(tensors: Mapping[str, Tensor], missing: list[str], source: str) -> ValueError:
    """Return the error about a file without the tensors that define the network's sizes."""
    return ValueError(
        f"The file lacks tensors of {source}: {missing[:4]}. It has {len(tensors)} tensors, such "
        f"as {list(tensors)[:3]}. Check that the file is of this kind."
    )


def translate(
    tensors: Mapping[str, Tensor], plan: Plan, expected: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """Return tensors with our names and dtypes.

    Parameters
    ----------
    tensors
        Tensors of the file.
    plan
        Use of each tensor.
    expected
        State of the network, for shapes and dtypes.
    source
        Name of the expected checkpoint, for messages.

    Raises
    ------
    ValueError
        If a tensor is missing, unknown, of another shape, or not finite.
    """
    problems = [f"missing {name}" for name in plan if name not in tensors]
    problems += [f"unexpected {name}" for name in tensors if name not in plan]
    result: dict[str, Tensor] = {}
    for name, target in plan.items():
        if name not in tensors or isinstance(target, LeftOut):
            continue
        found, goal = tensors[name], expected[target.name]
        try:
            value = target.change(found)
        except (RuntimeError, IndexError):  # fewer dimensions than in the published file
            value = found
        if value.shape != goal.shape:
            problems.append(f"{name} of shape {tuple(found.shape)}")
        elif not value.isfinite().all():
            problems.append(f"{name} with values that are not finite")
        else:
            result[target.name] = value.to(goal.dtype).contiguous()
    if problems:
        msg = (
            f"Expected the tensors of {source}, found {len(problems)} that do not fit: "
            f"{'; '.join(problems[:8])}{'; ...' if len(problems) > 8 else ''}. "
            "Check that the file is complete and of this kind."
        )
        raise ValueError(msg)
    return result
