"""Copy the tensors of one network into another with other features and batches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from scmomer._constants import RNA
from scmomer.module._decoder import Decoder
from scmomer.module._module import SCMOMERModule
from scmomer.module.modalities import are_same

# Follow from the training cells, or from the configuration.
_OWN = (".baseline", ".count_baseline", ".target_sum")
_BATCH_TABLES = (".batch_bias", ".query_bias")
_POSITIONS = ".position_embeddings"  # of inherited patches, then of new chromosomes
_WEIGHTS = "modalities.rna.gene_weight"


@dataclass
class Transfer:
    """What happened to the tensors of a network, by name."""

    copied: list[str] = field(default_factory=list)
    """Now those of the source, for the features that both have."""
    resized: list[str] = field(default_factory=list)
    """Of another size in the source, and therefore new."""
    new: list[str] = field(default_factory=list)
    """Not in the source, not trained there, or of a fusion of other modalities."""


@torch.no_grad()
def copy_tensors(
    target: SCMOMERModule,
    source: SCMOMERModule,
    rows: Mapping[str, np.ndarray],
    batches: Sequence[int],
    measured: Collection[str],
    untrained: Sequence[str] = (),
) -> Transfer:
    """Copy what `source` has learned into `target`, in place.

    Encoders are copied whatever other modalities the networks have; bridges, fusion and decoders
    only if both fuse the same modalities, because they read fused embeddings.

    Parameters
    ----------
    target
        Network with start values.
    source
        Trained network.
    rows
        For each modality of both the position of each feature of `target` in `source`, -1 if it
        is new.
    batches
        For each training batch of `target` its position among all of `source`, -1 if it is new.
    measured
        Modalities that the training cells of `target` have.
    untrained
        Prefixes of tensors that the source never learned.
    """
    theirs, axes = source.state_dict(), feature_axes(target)
    inputs, ordered = _named(target, "input_tables"), _named(target, "order_tables")
    weights = _gene_weights(target)
    same_fusion = target.fused_modalities == source.fused_modalities
    same = {m for m in rows if are_same(rows[m], source.modality(m).n_features)}
    done = Transfer()
    for name, tensor in target.state_dict().items():
        m = modality_of(name)
        own = name.endswith(_OWN) and m in measured
        if name.endswith(_BATCH_TABLES) or own:
            continue
        fits = same_fusion or (m in rows and _reads_no_fusion(name, m))
        if name not in theirs or not fits or name.startswith(tuple(untrained)):
            done.new.append(name)
        elif name in ordered and m not in same:
            done.new.append(name)
        elif name.endswith(_POSITIONS) and tensor.shape[1] > theirs[name].shape[1]:
            tensor[:, : theirs[name].shape[1]] = theirs[name]
            done.copied.append(name)
        elif _copy(tensor, theirs[name], rows.get(m), axes.get(name), name in inputs):
            done.copied.append(name)
        else:
            done.resized.append(name)
    decoders = _decoders(source)
    for name, decoder in _decoders(target).items():
        if f"{name}.linear.bias" in done.copied:
            _copy_batches(decoder, decoders[name], rows[modality_of(name)], batches)
    if weights is not None and _WEIGHTS in done.copied:
        # A gene that hardly varied in either must not outweigh all others now that it does.
        target.rna.gene_weight.copy_(torch.minimum(target.rna.gene_weight, weights))
    return done


def modality_of(name: str) -> str:
    """Return the modality whose features a tensor or part is about, ``""`` if it has none."""
    parts = name.split(".")
    if parts[0] == "modalities":
        return parts[1]
    if parts[0] != "bridges":
        return ""
    if "decoders" in parts:
        return parts[parts.index("decoders") + 1]
    return RNA if "count_decoder" in parts else parts[1]


def feature_axes(module: SCMOMERModule) -> dict[str, int]:
    """Return the tensors with one entry for each feature of their modality, and the axis."""
    return {
        f"{prefix}.{name}": axis
        for prefix, part in module.named_modules()
        for name, axis in getattr(part, "feature_axes", {}).items()
    }


def _named(module: SCMOMERModule, attribute: str) -> set[str]:
    """Return the tensors that parts list under an attribute."""
    return {
        f"{prefix}.{name}"
        for prefix, part in module.named_modules()
        for name in getattr(part, attribute, ())
    }


def _reads_no_fusion(name: str, modality: str) -> bool:
    return not name.startswith(f"modalities.{modality}.decoder.") and name.startswith("modalities.")


def _gene_weights(module: SCMOMERModule) -> Tensor | None:
    return module.rna.gene_weight.clone() if RNA in module.modalities else None


def _decoders(module: SCMOMERModule) -> dict[str, Decoder]:
    return {name: part for name, part in module.named_modules() if isinstance(part, Decoder)}


def _copy(
    tensor: Tensor, found: Tensor, rows: np.ndarray | None, axis: int | None, is_input: bool
) -> bool:
    """Copy one tensor; return false if sizes differ."""
    if axis is None or rows is None:
        if found.shape != tensor.shape:
            return False
        tensor.copy_(found)
        return True
    ours, theirs = tensor.movedim(axis, 0), found.movedim(axis, 0)
    if ours.shape[1:] != theirs.shape[1:]:
        return False
    n, known = len(rows), torch.from_numpy(np.flatnonzero(rows >= 0))
    if is_input:
        ours[:n] = 0
    ours[known.to(ours.device)] = theirs[torch.from_numpy(rows[rows >= 0]).to(theirs.device)].to(
        ours
    )
    extra = len(ours) - n  # rows of the gene table that no gene has
    if extra:
        ours[n:] = theirs[len(theirs) - extra :].to(ours)
    return True


def _copy_batches(
    decoder: Decoder, source: Decoder, rows: np.ndarray, batches: Sequence[int]
) -> None:
    """Copy biases of the batches of both; a new batch begins as the average one of the source."""
    known, there = np.flatnonzero(rows >= 0), rows[rows >= 0]
    offsets: Tensor = source.batch_bias  # (n_features, n_batches)
    if source.n_batches:
        mean = offsets.mean(1)
        decoder.linear.bias[known] += mean[there].to(decoder.linear.bias)
        offsets = offsets - mean[:, None]
    else:  # a single batch is the average one
        offsets = torch.zeros_like(source.linear.bias)[:, None].expand(-1, source.n_train_batches)
    if source.query_bias is not None:
        offsets = torch.cat([offsets, source.query_bias], 1)
    for k, j in enumerate(batches):
        if j >= 0 and k < decoder.n_batches:
            decoder.batch_bias[known, k] = offsets[there, j].to(decoder.batch_bias)
