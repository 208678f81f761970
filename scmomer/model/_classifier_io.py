"""Classifier folders: safetensors and JSON, as those of models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from scmomer.model._expression_pcs import ExpressionPCs
from scmomer.model._fine_tuning import detached
from scmomer.model._novelty import Landmarks
from scmomer.module._classifier import ClassifierConfig, ClassifierModule

if TYPE_CHECKING:
    from torch import Tensor

    from scmomer.model._classifier import CellTypeClassifier
    from scmomer.model._scmomer import SCMOMER

FORMAT = "scmomer-classifier"
FORMAT_VERSION = 1
_WEIGHTS, _META = "weights.safetensors", "classifier.json"


def write_classifier(classifier: CellTypeClassifier, path: Path, overwrite: bool) -> None:
    """Write a folder; an older one is replaced only when the new one is complete."""
    _check_free(path, overwrite)
    draft = path.with_name(f".{path.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_file(_tensors(classifier), draft / _WEIGHTS, metadata={"format": FORMAT})
    (draft / _META).write_text(json.dumps(_describe(classifier), indent=1))
    if path.is_dir():
        shutil.rmtree(path)
    draft.rename(path)


def _check_free(path: Path, overwrite: bool) -> None:
    """Raise if `path` is taken; only a classifier folder is ever replaced."""
    if not path.exists():
        return
    if not overwrite:
        msg = f"Expected a new folder, found {str(path)!r}. Pass overwrite=True to replace it."
        raise FileExistsError(msg)
    inside = {p.name for p in path.iterdir()} if path.is_dir() else None
    if inside is None or inside - {_META, _WEIGHTS}:
        found = "a file" if inside is None else f"a folder with {sorted(inside)[:5]}"
        msg = (
            f"Expected a classifier folder to overwrite at {str(path)!r}, found {found}. Choose "
            "another path, or remove it yourself if it is not needed."
        )
        raise FileExistsError(msg)


def _tensors(classifier: CellTypeClassifier) -> dict[str, Tensor]:
    heads, landmarks = classifier._trained()
    tensors = {f"heads.{k}": v.detach().contiguous() for k, v in heads.state_dict().items()}
    tensors["landmarks"] = torch.from_numpy(landmarks.z)
    tensors["spread"] = torch.from_numpy(landmarks.spread)
    tensors["held_out"] = torch.from_numpy(classifier.held_out_)
    if classifier.pcs_ is not None:
        tensors["pcs"] = torch.from_numpy(classifier.pcs_.weights)
    if classifier._network is not classifier.model:
        before = classifier.model.module.state_dict()
        after = classifier._network.module.state_dict()
        tensors |= {
            f"network.{k}": v.detach().cpu().contiguous()
            for k, v in after.items()
            if not torch.equal(v, before[k])
        }
    return tensors


def _describe(classifier: CellTypeClassifier) -> dict[str, Any]:
    from scmomer import __version__

    heads, landmarks = classifier._trained()
    genes = classifier.genes_
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "scmomer_version": __version__,
        "model_id": classifier.model_id,
        "classes": classifier.classes_.tolist(),
        "inputs": classifier.inputs,
        "mode": classifier.mode,
        "modalities": list(classifier.modalities_ or ()),
        "genes": None if genes is None else genes.astype(str).tolist(),
        "config": classifier.config.to_dict(),
        "n_inputs": heads.n_inputs,
        "n_sure": classifier.n_sure_,
        "epochs": classifier.epochs_.tolist(),
        "scale": landmarks.scale,
        "target_sum": classifier.model.target_sum,
    }


def read_classifier(path: Path, model: SCMOMER) -> CellTypeClassifier:
    """Read a folder; see :meth:`CellTypeClassifier.load`."""
    from scmomer.model._classifier import CellTypeClassifier

    meta = _read_meta(path)
    tensors = _read_tensors(path / _WEIGHTS)
    try:
        made = CellTypeClassifier(model, inputs=meta["inputs"], **meta["config"])
        made.model_id = meta["model_id"]
        made.check_model(model)
        made.mode, made.modalities_ = meta["mode"], tuple(meta["modalities"])
        made.genes_ = None if meta["genes"] is None else pd.Index(meta["genes"])
        made.classes_ = np.array(meta["classes"])
        made.n_sure_, made.epochs_ = meta["n_sure"], np.array(meta["epochs"])
        heads = ClassifierModule(
            meta["n_inputs"], len(made.classes_), made.n_sure_, ClassifierConfig(**meta["config"])
        )
        heads.load_state_dict(_part(tensors, "heads."))
        made.held_out_ = tensors["held_out"].numpy()
        if "pcs" in tensors:
            made.pcs_ = ExpressionPCs(tensors["pcs"].numpy(), meta["target_sum"])
        made.landmarks_ = Landmarks(
            tensors["landmarks"].numpy(), meta["scale"], tensors["spread"].numpy()
        )
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(_damaged(path, error)) from error
    made.heads_ = heads.eval()
    if meta["mode"] == "finetune":
        made._network = detached(model)
        made._network.module.load_state_dict(_part(tensors, "network."), strict=False)
    return made


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _read_meta(path: Path) -> dict[str, Any]:
    missing = [name for name in (_META, _WEIGHTS) if not (path / name).is_file()]
    if missing:
        inside = sorted(p.name for p in path.iterdir())[:10] if path.is_dir() else "no folder"
        msg = (
            f"Expected {_META} and {_WEIGHTS} in {str(path)!r}, found {inside}. Pass a folder that "
            "classifier.save(path) wrote."
        )
        raise FileNotFoundError(msg)
    try:
        meta = json.loads((path / _META).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(_damaged(path, error)) from error
    kind = meta.get("format") if isinstance(meta, dict) else type(meta).__name__
    version = meta.get("format_version") if isinstance(meta, dict) else None
    if kind != FORMAT or not isinstance(version, int) or version > FORMAT_VERSION:
        msg = (
            f"Expected format {FORMAT!r}, version {FORMAT_VERSION} or older, in {_META} of "
            f"{str(path)!r}, found {kind!r}, version {version!r}. Pass a folder that "
            "classifier.save(path) wrote, or upgrade scmomer."
        )
        raise ValueError(msg)
    return meta


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        msg = (
            f"Expected safetensors in {str(path)!r}, found a damaged or foreign file: {error}. "
            "Save the classifier again or fetch a new copy."
        )
        raise ValueError(msg) from error


def _damaged(path: Path, error: Exception) -> str:
    return (
        f"Expected {_META} and {_WEIGHTS} of {str(path)!r} as classifier.save(path) wrote them, "
        f"found damage: {error!r}. Save the classifier again or fetch a new copy."
    )
