"""Classifier folders: safetensors and JSON, as those of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from scmomer.model._expression_pcs import ExpressionPCs
from scmomer.model._fine_tuning import detached
from scmomer.model._folder import Folder
from scmomer.model._gene_votes import GeneVotes
from scmomer.model._novelty import ClassCentres
from scmomer.module._classifier import ClassifierConfig, ClassifierModule

if TYPE_CHECKING:
    from torch import Tensor

    from scmomer.model._classifier import CellTypeClassifier
    from scmomer.model._scmomer import SCMOMER

_FOLDER = Folder("classifier")
_NOVELTY = ("centres", "whiten", "spread")
_VOTES = ("linear", "intercept", "log_shares", "log_prior")


def write_classifier(classifier: CellTypeClassifier, path: Path, overwrite: bool) -> None:
    """Write a folder; an older one is replaced only when the new one is complete."""
    _FOLDER.write(path, _tensors(classifier), _describe(classifier), overwrite)


def _tensors(classifier: CellTypeClassifier) -> dict[str, Tensor]:
    heads, centres = classifier._trained()
    tensors = {f"heads.{k}": v.detach().contiguous() for k, v in heads.state_dict().items()}
    tensors |= {name: torch.from_numpy(getattr(centres, name)) for name in _NOVELTY}
    tensors["held_out"] = torch.from_numpy(classifier.held_out_)
    if classifier.pcs_ is not None:
        tensors["pcs"] = torch.from_numpy(classifier.pcs_.weights)
    if classifier.votes_ is not None:
        tensors |= {
            f"votes.{name}": torch.from_numpy(getattr(classifier.votes_, name)) for name in _VOTES
        }
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
    heads, centres = classifier._trained()
    genes = classifier.genes_
    return {
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
        "scale": centres.scale,
        "gene_share": classifier.gene_share_,
        "target_sum": classifier.model.target_sum,
    }


def read_classifier(path: Path, model: SCMOMER) -> CellTypeClassifier:
    """Read a folder; see :meth:`CellTypeClassifier.load`."""
    from scmomer.model._classifier import CellTypeClassifier

    meta = _FOLDER.read_meta(path)
    tensors = _FOLDER.read_tensors(path)
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
        if votes := _part(tensors, "votes."):
            arrays = {name: votes[name].numpy() for name in _VOTES}
            made.gene_share_ = meta["gene_share"]
            made.votes_ = GeneVotes(**arrays, target_sum=meta["target_sum"])
        arrays = {name: tensors[name].numpy() for name in _NOVELTY}
        made.centres_ = ClassCentres(**arrays, scale=meta["scale"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(_FOLDER.damaged(path, error)) from error
    made.heads_ = heads.eval()
    if meta["mode"] == "finetune":
        made._network = detached(model)
        made._network.module.load_state_dict(_part(tensors, "network."), strict=False)
    return made


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
