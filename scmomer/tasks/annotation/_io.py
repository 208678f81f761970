"""Classifier folders: safetensors and JSON, like those of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scmomer.model import Folder
from scmomer.tasks.annotation._embedding_regression import EmbeddingRegression
from scmomer.tasks.annotation._expression_pcs import ExpressionPCs
from scmomer.tasks.annotation._fitted import FittedClassifier
from scmomer.tasks.annotation._gene_classifiers import GeneClassifiers
from scmomer.tasks.annotation._module import ClassifierConfig, ClassifierModule
from scmomer.tasks.annotation._novelty import ClassMahalanobis
from scmomer.tasks.annotation._stacking import Stack

_FOLDER = Folder("classifier", version=4)
_PLAIN = ("model_id", "inputs", "mode", "target_sum")


def write_classifier(fitted: FittedClassifier, path: Path, overwrite: bool) -> None:
    """Write a folder; an existing one is replaced only once the new one is complete."""
    tensors = {f"heads.{k}": v for k, v in fitted.heads.state_dict().items()}
    tensors |= {f"network.{k}": v.detach().cpu() for k, v in fitted.network.items()}
    tensors |= _arrays(fitted.mahalanobis, "novelty.") | _arrays(fitted.gene_classifiers, "genes.")
    tensors |= _arrays(fitted.embedding_regression, "linear.") | _arrays(fitted.stack, "stack.")
    tensors["held_out"] = torch.from_numpy(fitted.held_out)
    if fitted.pcs is not None:
        tensors["pcs"] = torch.from_numpy(fitted.pcs.weights)
    meta = {name: getattr(fitted, name) for name in _PLAIN} | {
        "classes": fitted.classes.tolist(),
        "modalities": list(fitted.modalities),
        "genes": None if fitted.genes is None else fitted.genes.astype(str).tolist(),
        "config": fitted.config.to_dict(),
        "n_inputs": fitted.heads.n_inputs,
        "n_always_present": fitted.heads.n_always_present,
        "class_report": fitted.class_report.reset_index().to_dict("list"),
        "epochs": fitted.epochs.tolist(),
        "fine_epoch": fitted.fine_epoch,
        "scale": fitted.mahalanobis.scale,
        "genes_target_sum": getattr(fitted.gene_classifiers, "target_sum", None),
    }
    _FOLDER.write(path, {k: v.contiguous() for k, v in tensors.items()}, meta, overwrite)


def _arrays(record: object, prefix: str) -> dict[str, Tensor]:
    """Return the arrays of a record as tensors; none of None."""
    values = {} if record is None else vars(record)
    return {prefix + k: torch.from_numpy(v) for k, v in values.items() if isinstance(v, np.ndarray)}


def read_classifier(path: Path) -> FittedClassifier:
    """Read a folder.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it lacks a file.
    ValueError
        If it is damaged.
    """
    meta, tensors = _FOLDER.read_meta(path), _FOLDER.read_tensors(path)
    if meta["format_version"] < _FOLDER.version:
        msg = (
            f"Expected a classifier of format version {_FOLDER.version} in {str(path)!r}, found "
            f"{meta['format_version']}, whose parts are combined in another way. Fit it again: "
            "`classifier = scmomer.CellTypeClassifier(model).fit(reference, labels)`."
        )
        raise ValueError(msg)
    try:
        return _fitted(meta, tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(_FOLDER.damage_message(path, error)) from error


def _fitted(meta: dict[str, Any], tensors: dict[str, Tensor]) -> FittedClassifier:
    config, target_sum = ClassifierConfig(**meta["config"]), meta["target_sum"]
    n_classes = len(meta["classes"])
    heads = ClassifierModule(meta["n_inputs"], n_classes, meta["n_always_present"], config)
    heads.load_state_dict(_part(tensors, "heads."))
    novelty, genes, linear, stack = (
        {name: values.numpy() for name, values in _part(tensors, prefix).items()}
        for prefix in ("novelty.", "genes.", "linear.", "stack.")
    )
    return FittedClassifier(
        **{name: meta[name] for name in _PLAIN},
        modalities=tuple(meta["modalities"]),
        genes=None if meta["genes"] is None else pd.Index(meta["genes"]),
        classes=np.array(meta["classes"]),
        config=config,
        heads=heads.eval(),
        epochs=np.array(meta["epochs"]),
        fine_epoch=meta["fine_epoch"],
        held_out=tensors["held_out"].numpy(),
        class_report=pd.DataFrame(meta["class_report"]).set_index("class"),
        mahalanobis=ClassMahalanobis(**novelty, scale=meta["scale"]),
        pcs=ExpressionPCs(tensors["pcs"].numpy(), target_sum) if "pcs" in tensors else None,
        gene_classifiers=(
            GeneClassifiers(**genes, target_sum=meta["genes_target_sum"]) if genes else None
        ),
        embedding_regression=EmbeddingRegression(**linear),
        stack=Stack(**stack),
        network=_part(tensors, "network."),
    )


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
