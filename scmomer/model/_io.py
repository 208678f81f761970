"""Model folders: safetensors and JSON; loading executes nothing and needs no data."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer.model._current import set_current
from scmomer.model._folder import WEIGHTS, Folder
from scmomer.model._spec import ModelSpec
from scmomer.module import ModuleConfig
from scmomer.train._splitter import SplitRecord

if TYPE_CHECKING:
    from torch import Tensor, nn

    from scmomer.model._scmomer import SCMOMER

_FOLDER = Folder("model")


def write_model(model: SCMOMER, path: Path, overwrite: bool) -> None:
    """Write a model folder; an older one is replaced only when the new one is complete."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.module.state_dict().items()}
    meta = {
        "model_id": model.id,
        "spec": model.spec.to_dict(),
        "config": model.config.to_dict(),
        "stages": list(model.stages_),
        "split": None if model._split is None else asdict(model._split),
        "history": {s: t.reset_index().to_dict("list") for s, t in (model.history or {}).items()},
    }
    _FOLDER.write(path, tensors, meta, overwrite)


def load(
    path: str | Path,
    adata: AnnData | MuData | None = None,
    *,
    accelerator: str = "auto",
    device: int | str = "auto",
) -> SCMOMER:
    """Load a model folder that :meth:`scmomer.SCMOMER.save` wrote.

    Needs no training data and executes nothing from the folder.

    Parameters
    ----------
    path
        The folder.
    adata
        Data that the model takes as its registered ones, as in :meth:`scvi.model.SCVI.load`; they
        are registered if they are not, as :func:`scmomer.pp.setup_mudata` does. With them,
        ``model.train(resume=True)`` goes on with the stages that are not trained. None: data are
        passed to the model's methods.
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
        If the folder is damaged or was not written by scmomer, or the data lack features of the
        model.
    """
    from scmomer.model._scmomer import SCMOMER

    path = Path(path).expanduser()
    meta = _FOLDER.read_meta(path)
    try:
        spec = ModelSpec.from_dict(meta["spec"])
        model = SCMOMER._from_spec(spec, ModuleConfig.from_dict(meta["config"]))
        model.id, model.stages_ = meta["model_id"], tuple(meta["stages"])
        if meta.get("split") is not None:  # older folders have none
            model._split = SplitRecord.from_dict(meta["split"])
        tables = {stage: pd.DataFrame(table) for stage, table in meta["history"].items()}
        model.history_ = {stage: table.set_index("epoch") for stage, table in tables.items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(_FOLDER.damaged(path, error)) from error
    _load_weights(model.module, path)
    if adata is not None:
        model._attach(adata)
    return make_ready(model, accelerator, device)


def make_ready(model: SCMOMER, accelerator: str, device: int | str) -> SCMOMER:
    """Put a model whose weights were read on its device, and remember it as the current one."""
    from scvi.model._utils import parse_device_args

    # Statistics were set before its first stage; those of data given later are not theirs.
    model.is_trained_ = model._is_warm = bool(model.stages_)
    *_, torch_device = parse_device_args(accelerator, device, return_device="torch")
    model.to_device(torch_device)
    model.module.eval()
    set_current(model)
    return model


def _load_weights(module: nn.Module, path: Path) -> None:
    """Load tensors and report every missing, unexpected and mismatched one."""
    found = _FOLDER.read_tensors(path)
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
