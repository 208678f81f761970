"""Folders of models of drug response: safetensors and JSON, like those of models."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from scmomer.model import Folder
from scmomer.tasks.drugs._cell_profiles import ProfileReader
from scmomer.tasks.drugs.molecules._molecules import Molecules
from scmomer.tasks.drugs.molecules._networks import PublishedDrugResponse
from scmomer.tasks.drugs.response._branches import CellBranch, DrugBranch
from scmomer.tasks.drugs.response._fit import FittedResponse
from scmomer.tasks.drugs.response._held_out_drugs import DrugMember
from scmomer.tasks.drugs.response._line_kernel import LineRegression, Standardizer, nearest_distance
from scmomer.tasks.drugs.response._published import FittedPublished
from scmomer.tasks.drugs.response._settings import ResponseUnits
from scmomer.tasks.drugs.response._spread import Spread

Core: TypeAlias = FittedResponse | FittedPublished
_FOLDER = Folder("drug_response")
_SPREADS: Final = ("line_spread", "drug_spread")


@dataclass
class FittedModel:
    """What a model of drug response learned, and how it reads cells."""

    core: Core
    lines: pd.Index
    units: str
    reader: ProfileReader
    profiles: list[np.ndarray]
    """Features of the training lines as they were read."""
    model_id: str | None
    """Of the embedding model."""

    @cached_property
    def usual_distance(self) -> float:
        """Distance of training lines to the nearest other that 5 % exceed."""
        features = self.core.standardize(self.profiles)
        return float(np.quantile(nearest_distance(features, features, skip_self=True), 0.95))


def write_model(fitted: FittedModel, options: dict[str, Any], path: Path, overwrite: bool) -> None:
    """Write a folder; an existing one is replaced only once the new one is complete."""
    core = fitted.core
    arrays: dict[str, np.ndarray] = {f"profiles.{i}": x for i, x in enumerate(fitted.profiles)}
    for i, scale in enumerate(core.standardizers):
        arrays |= {f"standardizer.{i}.mean": scale.mean, f"standardizer.{i}.scale": scale.scale}
    arrays |= {"units.mean": core.units.mean, "units.scale": core.units.scale}
    arrays |= {
        "molecules.group": core.molecules.group,
        "molecules.fingerprints": core.molecules.fingerprints,
        "molecules.pharmacophores": core.molecules.pharmacophores,
    }
    networks: dict[str, nn.Module] = {}
    meta: dict[str, Any] = {}
    if isinstance(core, FittedPublished):
        networks["published"] = core.network
        meta |= {"center": core.center, "scale": core.scale, "std": core.std}
    else:
        arrays |= {"coefficients": core.regression.coefficients, "offset": core.regression.offset}
        arrays |= {"completed": core.completed, "pair_std": core.pair_std}
        networks |= {f"cell.{k}": b for k, b in enumerate(core.cell_branches)}
        networks |= {f"drug.{k}": m.branch for k, m in enumerate(core.members)}
        arrays |= {f"projection.{k}": m.projection for k, m in enumerate(core.members)}
        meta |= {"cell_weight": core.cell_weight, "drug_weight": core.drug_weight}
        for name in _SPREADS:
            spread = getattr(core, name)
            arrays[f"{name}.scale"] = spread.scale
            meta[name] = [spread.base, spread.slope]
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}
    for name, network in networks.items():
        state = network.state_dict()
        tensors |= {f"network.{name}.{k}": v.detach().cpu() for k, v in state.items()}
    meta |= {
        "options": options,
        "lines": fitted.lines.astype(str).tolist(),
        "units": fitted.units,
        "model_id": fitted.model_id,
        "inputs": fitted.reader.inputs,
        "genes": fitted.reader.genes.tolist(),
        "profile": fitted.reader.profile,
        "n_blocks": len(fitted.profiles),
        "n_cell_branches": len(getattr(core, "cell_branches", [])),
        "n_members": len(getattr(core, "members", [])),
        "drugs": core.molecules.names.astype(str).tolist(),
        "smiles": [str(x) for x in core.molecules.smiles],
        "removed": [str(x) for x in core.molecules.removed],
    }
    _FOLDER.write(path, {k: v.contiguous() for k, v in tensors.items()}, meta, overwrite)


def read_model(path: Path) -> tuple[FittedModel, dict[str, Any]]:
    """Read a folder; the embedding model is to be filled in.

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
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise ValueError(_FOLDER.damage_message(path, error)) from error


def _check_parts(meta: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Raise if lengths of parts do not agree, or weights are not finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            msg = f"{name} is not finite"
            raise ValueError(msg)
    n_lines, n_drugs = len(meta["lines"]), len(meta["drugs"])
    shapes: dict[str, tuple[int, ...]] = {
        "completed": (n_lines, n_drugs),
        "coefficients": (n_lines, n_drugs),
        "offset": (n_drugs,),
    }
    for name in ("units.mean", "units.scale", "pair_std", "line_spread.scale", "molecules.group"):
        shapes[name] = (n_drugs,)
    for name in ("fingerprints", "pharmacophores"):
        shapes[f"molecules.{name}"] = (n_drugs, tensors[f"molecules.{name}"].shape[-1])
    for i in range(meta["n_blocks"]):
        width = tensors[f"standardizer.{i}.mean"].shape[0]
        if i == 0 and meta["inputs"] != "embedding":
            width = len(meta["genes"])
        shapes |= {f"profiles.{i}": (n_lines, width), f"standardizer.{i}.mean": (width,)}
        shapes[f"standardizer.{i}.scale"] = (width,)
    wrong = [k for k, s in shapes.items() if k in tensors and tuple(tensors[k].shape) != s]
    wrong += [name for name in ("smiles", "removed") if len(meta[name]) != n_drugs]
    wrong += [
        name for name in ("lines", "drugs", "genes") if len(set(meta[name])) < len(meta[name])
    ]
    if wrong:
        msg = f"{wrong[0]} does not have the length of {n_lines} lines, {n_drugs} drugs or genes"
        raise ValueError(msg)


def _fitted(meta: dict[str, Any], tensors: dict[str, Tensor]) -> FittedModel:
    arrays = {k: v.numpy() for k, v in tensors.items() if not k.startswith("network.")}
    blocks = range(meta["n_blocks"])
    profiles = [arrays[f"profiles.{i}"] for i in blocks]
    molecules = Molecules(
        names=pd.Index(meta["drugs"]),
        smiles=np.array(meta["smiles"], dtype=object),
        group=arrays["molecules.group"],
        fingerprints=arrays["molecules.fingerprints"],
        pharmacophores=arrays["molecules.pharmacophores"],
        removed=np.array(meta["removed"], dtype=object),
        skipped=pd.Series(dtype=object),
    )
    units = ResponseUnits(arrays["units.mean"], arrays["units.scale"])
    scales = [
        Standardizer(arrays[f"standardizer.{i}.mean"], arrays[f"standardizer.{i}.scale"])
        for i in blocks
    ]
    features = [scale(x) for scale, x in zip(scales, profiles, strict=True)]
    common: dict[str, Any] = {"molecules": molecules, "units": units, "standardizers": scales}
    core: Core
    if meta["options"]["architecture"] == "published":
        network = PublishedDrugResponse(
            sum(x.shape[1] for x in profiles), pooling=meta["options"]["pooling"]
        )
        core = FittedPublished(
            **common,
            network=_load(network, tensors, "published"),
            center=meta["center"],
            scale=meta["scale"],
            std=meta["std"],
            training=features,
        )
    else:
        core = _additive(meta, tensors, arrays, features, common)
    return FittedModel(
        core=core,
        lines=pd.Index(meta["lines"]),
        units=meta["units"],
        reader=ProfileReader(meta["inputs"], pd.Index(meta["genes"]), meta["profile"], None),
        profiles=profiles,
        model_id=meta["model_id"],
    )


def _additive(
    meta: dict[str, Any],
    tensors: dict[str, Tensor],
    arrays: dict[str, np.ndarray],
    features: list[np.ndarray],
    common: dict[str, Any],
) -> FittedResponse:
    n_drugs = len(meta["drugs"])
    width = sum(x.shape[1] for x in features)
    cells = [
        _load(CellBranch(width, n_drugs), tensors, f"cell.{k}")
        for k in range(meta["n_cell_branches"])
    ]
    members = []
    for k in range(meta["n_members"]):
        projection = arrays[f"projection.{k}"]
        branch = DrugBranch(projection.shape[1] - 1, pooling=meta["options"]["pooling"])
        members.append(DrugMember(_load(branch, tensors, f"drug.{k}"), projection))
    spreads: dict[str, Any] = {
        name: Spread(arrays[f"{name}.scale"], *meta[name]) for name in _SPREADS
    }
    return FittedResponse(
        **common,
        regression=LineRegression(features, arrays["coefficients"], arrays["offset"]),
        cell_branches=cells,
        cell_weight=meta["cell_weight"],
        members=members,
        drug_weight=meta["drug_weight"],
        completed=arrays["completed"],
        pair_std=arrays["pair_std"],
        **spreads,
    )


def _load(network: Any, tensors: dict[str, Tensor], name: str) -> Any:
    prefix = f"network.{name}."
    found = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    network.load_state_dict(found)
    return network.eval()
