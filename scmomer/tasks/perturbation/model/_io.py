"""Folders of perturbation models: safetensors and JSON."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from scmomer.model import Folder
from scmomer.tasks.perturbation.graph._knowledge import Knowledge
from scmomer.tasks.perturbation.model._context import Contexts
from scmomer.tasks.perturbation.model._fitted import KINDS, FittedPerturbation
from scmomer.tasks.perturbation.model._kernel import KernelSettings
from scmomer.tasks.perturbation.network._network import PerturbationNetwork
from scmomer.tasks.perturbation.screen._effects import Effects

_FOLDER: Final = Folder("perturbation")
_COLUMNS: Final = ("perturbation", "group", "n_cells", "n_control")


def write_model(
    fitted: FittedPerturbation, options: dict[str, Any], path: Path, overwrite: bool
) -> None:
    """Write a folder; an existing one is replaced only once the new one is complete."""
    effects, known, contexts = fitted.effects, fitted.knowledge, fitted.contexts
    arrays = {
        "perturbed": effects.perturbed,
        "control": effects.control,
        "variance": effects.variance,
        "sets.indices": known.sets.indices.astype(np.int64),
        "sets.indptr": known.sets.indptr.astype(np.int64),
        "vectors": known.vectors,
        "contexts": contexts.values,
        **{f"spread.{kind}": fitted.spread[kind] for kind in KINDS},
    }
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}
    if fitted.network is not None:
        state = fitted.network.state_dict()
        tensors |= {f"network.{k}": v.detach().cpu().contiguous() for k, v in state.items()}
    meta = {
        "options": options,
        "table": {c: effects.table[c].tolist() for c in _COLUMNS},
        "parts": [list(p) for p in effects.parts],
        "genes": effects.genes.astype(str).tolist(),
        "target_sum": fitted.target_sum,
        "set_genes": known.set_genes.astype(str).tolist(),
        "n_sets": int(known.sets.shape[1]),
        "vector_genes": known.vector_genes.astype(str).tolist(),
        "settings": fitted.settings.to_dict(),
        "methods": fitted.methods,
        "groups": list(contexts.names),
        "range": None if np.isinf(contexts.range) else contexts.range,
        "validation": fitted.validation.to_json(orient="split"),
        "model_id": fitted.model_id,
        "has_network": fitted.network is not None,
    }
    _FOLDER.write(path, tensors, meta, overwrite)


def read_model(path: Path) -> tuple[FittedPerturbation, dict[str, Any]]:
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
        _check_parts(meta, tensors)
        return _fitted(meta, tensors), meta["options"]
    except (KeyError, TypeError, RuntimeError, ValueError, IndexError) as error:
        raise ValueError(_FOLDER.damage_message(path, error)) from error


def _check_parts(meta: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """Raise if lengths of parts do not agree, or numbers are not finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            msg = f"{name} is not finite"
            raise ValueError(msg)
    n, genes = len(meta["parts"]), len(meta["genes"])
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
        ("perturbed", "control", "variance"), (n, genes)
    )
    shapes |= {f"spread.{kind}": (genes,) for kind in KINDS}
    wrong = [k for k, shape in shapes.items() if tuple(tensors[k].shape) != shape]
    wrong += [c for c in _COLUMNS if len(meta["table"][c]) != n]
    if len(tensors["contexts"]) != len(meta["groups"]):
        wrong.append("contexts")
    if len(tensors["vectors"]) != len(meta["vector_genes"]):
        wrong.append("vectors")
    if wrong:
        msg = f"{wrong[0]} does not have the length of {n} perturbations, {genes} genes or groups"
        raise ValueError(msg)


def _fitted(meta: dict[str, Any], tensors: dict[str, torch.Tensor]) -> FittedPerturbation:
    arrays = {k: v.numpy() for k, v in tensors.items() if not k.startswith("network.")}
    genes, indices = meta["set_genes"], arrays["sets.indices"]
    knowledge = Knowledge(
        pd.Index(genes, dtype=object),
        sp.csr_matrix(
            (np.ones(len(indices), bool), indices, arrays["sets.indptr"]),
            shape=(len(genes), meta["n_sets"]),
        ),
        pd.Index(meta["vector_genes"], dtype=object),
        arrays["vectors"],
    )
    effects = Effects(
        table=pd.DataFrame(meta["table"]),
        parts=tuple(tuple(p) for p in meta["parts"]),
        perturbed=arrays["perturbed"],
        control=arrays["control"],
        variance=arrays["variance"],
        genes=pd.Index(meta["genes"]),
    )
    limit = meta["range"]
    return FittedPerturbation(
        effects=effects,
        target_sum=meta["target_sum"],
        knowledge=knowledge,
        settings=KernelSettings(**meta["settings"]),
        methods=meta["methods"],
        network=_network(tensors) if meta["has_network"] else None,
        contexts=Contexts(
            tuple(meta["groups"]), arrays["contexts"], np.inf if limit is None else limit
        ),
        spread={kind: arrays[f"spread.{kind}"] for kind in KINDS},
        validation=pd.read_json(StringIO(meta["validation"]), orient="split"),
        model_id=meta["model_id"],
    )


def _network(tensors: dict[str, torch.Tensor]) -> PerturbationNetwork:
    found = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    n_genes = len(found["bias"])
    network = PerturbationNetwork(n_genes, found["part.weight"].shape[1], found.get("vectors"))
    network.load_state_dict(found)
    return network.eval()
