"""Folders of synergy models: safetensors and JSON, like those of models."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scmomer.model import Folder
from scmomer.tasks.drugs._cell_profiles import ProfileReader
from scmomer.tasks.drugs.synergy._cells import Standardizer, block_names
from scmomer.tasks.drugs.synergy._fit import FittedSynergy, Member, SynergyConfig, make_network
from scmomer.tasks.drugs.synergy._inputs import SynergyInputs
from scmomer.tasks.drugs.synergy._naive import NaiveSynergy
from scmomer.tasks.drugs.synergy._noise import SynergyNoise

_FOLDER = Folder("drug_synergy")
_PLAIN = ("model_id", "new", "weight", "validation")


def write_synergy_model(fitted: FittedSynergy, path: Path, overwrite: bool) -> None:
    """Write a folder; an existing one is replaced only once the new one is complete."""
    member, inputs = fitted.ensemble, fitted.ensemble.inputs
    arrays = {
        "fingerprints": np.packbits(fitted.fingerprints, axis=1),
        "cells": fitted.cells,
        "bits": inputs.bits,
        "seen.drugs": member.seen[0],
        "seen.lines": member.seen[1],
        "naive.coef": fitted.naive.coef,
    }
    for name, block in inputs.standardizers.items():
        arrays |= {f"{name}.mean": block.mean, f"{name}.scale": block.scale}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in arrays.items()}
    for number, network in enumerate(member.networks):
        tensors |= {f"networks.{number}.{k}": v for k, v in network.state_dict().items()}
    meta = {name: getattr(fitted, name) for name in _PLAIN} | {
        "config": fitted.config.to_dict(),
        "drugs": fitted.drugs.astype(str).tolist(),
        "lines": fitted.lines.astype(str).tolist(),
        "smiles": fitted.smiles.tolist(),
        "n_bits": fitted.fingerprints.shape[1],
        "drug_inputs": inputs.drug_inputs,
        "drug_scale": inputs.drug_scale,
        "cell_inputs": fitted.reader.inputs,
        "genes": fitted.reader.genes.astype(str).tolist(),
        "profile": fitted.reader.profile,
        "network_units": member.units,
        "naive": {"kind": fitted.naive.kind, "intercept": fitted.naive.intercept},
        "noise": asdict(fitted.noise),
    }
    _FOLDER.write(path, {k: v.contiguous() for k, v in tensors.items()}, meta, overwrite)


def read_synergy_model(path: Path) -> FittedSynergy:
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
        return _fitted(meta, tensors)
    except (KeyError, TypeError, RuntimeError, IndexError) as error:
        raise ValueError(_FOLDER.damage_message(path, error)) from error


def _fitted(meta: dict[str, Any], tensors: dict[str, Tensor]) -> FittedSynergy:
    arrays = {k: v.numpy() for k, v in tensors.items() if not k.startswith("networks.")}
    config = SynergyConfig(**meta["config"])
    drugs, lines = (pd.Index(meta[name], dtype=object) for name in ("drugs", "lines"))
    genes = pd.Index(meta["genes"], dtype=object)
    reader = ProfileReader(meta["cell_inputs"], genes, meta["profile"], None)
    standardizers = {
        name: Standardizer(arrays[f"{name}.mean"], arrays[f"{name}.scale"])
        for name in block_names(reader)
    }
    inputs = SynergyInputs(meta["drug_inputs"], arrays["bits"], meta["drug_scale"], standardizers)
    networks = []
    units = [(center, scale) for center, scale in meta["network_units"]]
    for number in range(len(units)):
        prefix = f"networks.{number}."
        network = make_network(inputs, len(drugs), len(lines), config, meta["new"])
        network.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
        networks.append(network.eval())
    seen = arrays["seen.drugs"], arrays["seen.lines"]
    naive, noise = meta["naive"], meta["noise"]
    return FittedSynergy(
        **{name: meta[name] for name in _PLAIN},
        reader=reader,
        config=config,
        drugs=drugs,
        lines=lines,
        smiles=np.array(meta["smiles"], dtype=object),
        fingerprints=np.unpackbits(arrays["fingerprints"], axis=1, count=meta["n_bits"]),
        cells=arrays["cells"],
        ensemble=Member(inputs, networks, units, seen),
        naive=NaiveSynergy(
            naive["kind"], len(drugs), len(lines), naive["intercept"], arrays["naive.coef"]
        ),
        noise=SynergyNoise(
            noise["center"], tuple(noise["weights"]), tuple(noise["upper"]), noise["df"]
        ),
    )
