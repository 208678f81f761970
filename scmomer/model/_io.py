"""Model folders: safetensors and JSON; loading executes nothing and needs no data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from scmomer.model._current import set_current
from scmomer.model._spec import ModelSpec
from scmomer.module import ModuleConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from scmomer.model._scmomer import SCMOMER

FORMAT = "scmomer-model"
FORMAT_VERSION = 1
_WEIGHTS, _META = "weights.safetensors", "model.json"


def write_model(model: SCMOMER, path: Path, overwrite: bool) -> None:
    """Write a model folder; an older one is replaced only when the new one is complete."""
    _check_free(path, overwrite)
    draft = path.with_name(f".{path.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.module.state_dict().items()}
    save_file(tensors, draft / _WEIGHTS, metadata={"format": FORMAT})
    (draft / _META).write_text(json.dumps(_describe(model), indent=1))
    if path.is_dir():
        shutil.rmtree(path)
    draft.rename(path)


def _check_free(path: Path, overwrite: bool) -> None:
    """Raise if `path` is taken; only a model folder is ever replaced."""
    if not path.exists():
        return
    if not overwrite:
        msg = f"Expected a new folder, found {str(path)!r}. Pass overwrite=True to replace it."
        raise FileExistsError(msg)
    inside = {p.name for p in path.iterdir()} if path.is_dir() else None
    if inside is None or inside - {_META, _WEIGHTS}:
        found = "a file" if inside is None else f"a folder with {sorted(inside)[:5]}"
        msg = (
            f"Expected a model folder to overwrite at {str(path)!r}, found {found}. Choose "
            "another path, or remove it yourself if it is not needed."
        )
        raise FileExistsError(msg)


def _describe(model: SCMOMER) -> dict[str, Any]:
    from scmomer import __version__

    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "scmomer_version": __version__,
        "model_id": model.id,
        "spec": model.spec.to_dict(),
        "config": model.config.to_dict(),
        "stages": list(model.stages_),
        "history": {s: t.reset_index().to_dict("list") for s, t in (model.history or {}).items()},
    }


def load(path: str | Path, *, accelerator: str = "auto", device: int | str = "auto") -> SCMOMER:
    """Load a model folder that :meth:`scmomer.SCMOMER.save` wrote.

    Needs no training data and executes nothing from the folder.

    Parameters
    ----------
    path
        The folder.
    accelerator, device
        Where to put the model, as in :meth:`scvi.model.base.BaseModelClass.load`.

    Returns
    -------
    SCMOMER
        Ready for inference; gives the same embeddings as the model that was saved.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it lacks a file.
    ValueError
        If the folder is damaged or was not written by scmomer.
    """
    from scmomer.model._scmomer import SCMOMER

    path = Path(path)
    meta = _read_meta(path)
    try:
        spec = ModelSpec.from_dict(meta["spec"])
        model = SCMOMER._from_spec(spec, ModuleConfig.from_dict(meta["config"]))
        model.id, model.stages_ = meta["model_id"], tuple(meta["stages"])
        tables = {stage: pd.DataFrame(table) for stage, table in meta["history"].items()}
        model.history_ = {stage: table.set_index("epoch") for stage, table in tables.items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(_damaged(path, error)) from error
    _load_weights(model.module, path / _WEIGHTS)
    return make_ready(model, accelerator, device)


def make_ready(model: SCMOMER, accelerator: str, device: int | str) -> SCMOMER:
    """Put a model whose weights were read on its device, and remember it as the current one."""
    from scvi.model._utils import parse_device_args

    model.is_trained_ = bool(model.stages_)
    *_, torch_device = parse_device_args(accelerator, device, return_device="torch")
    model.to_device(torch_device)
    model.module.eval()
    set_current(model)
    return model


def _read_meta(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        msg = f"Expected a model folder at {str(path)!r}, found {_what_is(path)}."
        raise FileNotFoundError(msg)
    missing = [name for name in (_META, _WEIGHTS) if not (path / name).is_file()]
    if missing:
        found = sorted(p.name for p in path.iterdir())[:10]
        msg = (
            f"Expected {_META} and {_WEIGHTS} in {str(path)!r}, found {found}. Models of "
            "other packages cannot be loaded here; a scmomer folder comes from model.save(path)."
        )
        raise FileNotFoundError(msg)
    try:
        meta = json.loads((path / _META).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(_damaged(path, error)) from error
    kind = meta.get("format") if isinstance(meta, dict) else type(meta).__name__
    if kind != FORMAT:
        msg = (
            f"Expected format {FORMAT!r} in {_META} of {str(path)!r}, found {kind!r}. Pass a "
            "folder that model.save(path) wrote."
        )
        raise ValueError(msg)
    version = meta.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        msg = (
            f"Expected format version {FORMAT_VERSION} or older in {_META} of {str(path)!r}, "
            f"found {version!r} (written by scmomer {meta.get('scmomer_version')}). Upgrade "
            "scmomer."
        )
        raise ValueError(msg)
    return meta


def _damaged(path: Path, error: Exception) -> str:
    return (
        f"Expected {_META} of {str(path)!r} as model.save(path) wrote it, found damage: {error!r}. "
        "Save the model again or fetch a new copy."
    )


def _what_is(path: Path) -> str:
    return "a file" if path.exists() else "nothing"


def _load_weights(module: nn.Module, path: Path) -> None:
    """Load tensors and report every missing, unexpected and mismatched one."""
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        msg = (
            f"Expected safetensors in {str(path)!r}, found a damaged or foreign file: {error}. "
            "Save the model again or fetch a new copy."
        )
        raise ValueError(msg) from error
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
            f"Expected the tensors of {str(path)!r} to fit its {_META}, found {len(problems)} that "
            f"do not: {'; '.join(problems[:10])}{'; ...' if len(problems) > 10 else ''}. The two "
            "files are not of the same model: save it again or fetch a new copy."
        )
        raise ValueError(msg)
    module.load_state_dict(found)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
