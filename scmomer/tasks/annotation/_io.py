"""Classifier folders: safetensors and JSON, as those of models."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scmomer.model import Folder
from scmomer.tasks.annotation._expression_pcs import ExpressionPCs
from scmomer.tasks.annotation._gene_classifiers import GeneVotes
from scmomer.tasks.annotation._module import ClassifierConfig, ClassifierModule
from scmomer.tasks.annotation._novelty import ClassCentres

_FOLDER = Folder("classifier")
_NOVELTY = ("centres", "whiten", "spread")
_VOTES = ("linear", "intercept", "log_shares", "log_prior")


@dataclass(frozen=True)
class ClassifierFile:
    """What a classifier folder holds."""

    model_id: str
    inputs: str
    mode: str
    modalities: tuple[str, ...]
    genes: pd.Index | None
    classes: np.ndarray
    config: ClassifierConfig
    heads: ClassifierModule
    epochs: np.ndarray
    held_out: np.ndarray
    centres: ClassCentres
    pcs: ExpressionPCs | None
    votes: GeneVotes | None
    gene_share: float
    target_sum: float
    network: dict[str, Tensor] = field(default_factory=dict)
    """Tensors of the fine-tuned network that differ from the model's."""


def write_classifier(file: ClassifierFile, path: Path, overwrite: bool) -> None:
    """Write a folder; an older one is replaced only when the new one is complete."""
    tensors = {f"heads.{k}": v.detach().contiguous() for k, v in file.heads.state_dict().items()}
    tensors |= {name: torch.from_numpy(getattr(file.centres, name)) for name in _NOVELTY}
    tensors["held_out"] = torch.from_numpy(file.held_out)
    if file.pcs is not None:
        tensors["pcs"] = torch.from_numpy(file.pcs.weights)
    if file.votes is not None:
        tensors |= {f"votes.{name}": torch.from_numpy(getattr(file.votes, name)) for name in _VOTES}
    tensors |= {f"network.{k}": v.detach().cpu().contiguous() for k, v in file.network.items()}
    meta = {
        "model_id": file.model_id,
        "classes": file.classes.tolist(),
        "inputs": file.inputs,
        "mode": file.mode,
        "modalities": list(file.modalities),
        "genes": None if file.genes is None else file.genes.astype(str).tolist(),
        "config": file.config.to_dict(),
        "n_inputs": file.heads.n_inputs,
        "n_sure": file.heads.n_sure,
        "epochs": file.epochs.tolist(),
        "scale": file.centres.scale,
        "gene_share": file.gene_share,
        "target_sum": file.target_sum,
    }
    _FOLDER.write(path, tensors, meta, overwrite)


def read_classifier(path: Path) -> ClassifierFile:
    """Read a folder.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it lacks a file.
    ValueError
        If it is damaged.
    """
    meta, tensors = _FOLDER.read_meta(path), _FOLDER.read_tensors(path)
    try:
        return _file(meta, tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(_FOLDER.damaged(path, error)) from error


def _file(meta: dict[str, Any], tensors: dict[str, Tensor]) -> ClassifierFile:
    config, target_sum = ClassifierConfig(**meta["config"]), meta["target_sum"]
    heads = ClassifierModule(meta["n_inputs"], len(meta["classes"]), meta["n_sure"], config)
    heads.load_state_dict(_part(tensors, "heads."))
    votes = {name: values.numpy() for name, values in _part(tensors, "votes.").items()}
    return ClassifierFile(
        model_id=meta["model_id"],
        inputs=meta["inputs"],
        mode=meta["mode"],
        modalities=tuple(meta["modalities"]),
        genes=None if meta["genes"] is None else pd.Index(meta["genes"]),
        classes=np.array(meta["classes"]),
        config=config,
        heads=heads.eval(),
        epochs=np.array(meta["epochs"]),
        held_out=tensors["held_out"].numpy(),
        centres=ClassCentres(
            **{name: tensors[name].numpy() for name in _NOVELTY}, scale=meta["scale"]
        ),
        pcs=ExpressionPCs(tensors["pcs"].numpy(), target_sum) if "pcs" in tensors else None,
        votes=GeneVotes(**votes, target_sum=target_sum) if votes else None,
        gene_share=meta["gene_share"],
        target_sum=target_sum,
        network=_part(tensors, "network."),
    )


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
