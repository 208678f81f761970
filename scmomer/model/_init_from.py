"""``SCMOMER(init_from=)``: begin with what another model has learned."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from torch.nn import Parameter

from scmomer._constants import ATAC, RNA
from scmomer.data import Cells, ModelSpec
from scmomer.model._source_features import check_features
from scmomer.module import (
    MODALITY_TYPES,
    Encoder,
    ModuleConfig,
    SCMOMERModule,
    Transfer,
    copy_tensors,
    get_config,
    modality_of,
)
from scmomer.train import init_from_data

logger = logging.getLogger(__name__)
_OTHER_FUSION = "the source fuses other modalities"
_STATISTICS = ("basis", "even_depth", "refines", "co_measured")


class Model(Protocol):
    """What is needed of both models."""

    id: str
    spec: ModelSpec
    config: ModuleConfig
    module: SCMOMERModule
    stages_: tuple[str, ...]
    origin_: dict[str, Any] | None
    is_trained_: bool
    _is_warm: bool


@dataclass(frozen=True)
class Start:
    """Where a model begins."""

    source: Model
    spec: ModelSpec
    """Of the new model: its data's features, and those of modalities that only the source has."""
    config: ModuleConfig
    encoders: Mapping[str, Encoder]
    """Encoders that were passed, not built."""
    rows: dict[str, np.ndarray]
    """For each modality of both, the position of each feature in the source, or -1."""
    measured: tuple[str, ...]
    """Modalities of the data."""

    @property
    def untrained(self) -> tuple[str, ...]:
        """Prefixes of tensors that the source has but never learned."""
        return tuple((self.source.origin_ or {}).get("untrained", ()))


def plan_start(
    source: Model,
    spec: ModelSpec,
    size: str,
    options: Mapping[str, Any],
    encoders: Mapping[str, Encoder],
    has_gpu: bool,
) -> Start:
    """Check a source against the data of a new model, and settle the new model's configuration.

    Parameters
    ----------
    source
        The model to begin with.
    spec
        Features, batches and labels of the data.
    size, options
        What the user asked for; sizes are those of the source unless named.
    encoders
        Encoders of the user's own.
    has_gpu
        Whether training will run on a GPU.

    Raises
    ------
    ValueError
        If the source is not trained, or has other modalities, another species or assembly.
    """
    _check_source(source, spec)
    measured = tuple(spec.features)
    theirs = source.spec.features
    features = {m: spec.features.get(m, theirs.get(m)) for m in MODALITY_TYPES}
    features = {m: names for m, names in features.items() if names is not None}
    rows = {m: MODALITY_TYPES[m].rows_in(features[m], theirs[m]) for m in features if m in theirs}
    for m in measured:
        if m in theirs:
            check_features(m, features[m], theirs[m], rows[m])
    base = None if size != "auto" else source.config
    config = get_config(size, has_gpu=has_gpu, base=base, **options)  # type: ignore[arg-type]
    if config.measured_gain is None:
        config = replace(config, measured_gain=source.config.measured_gain)
    records = dict(config.modalities)
    for m in rows:
        kind = source.module.modality(m)
        own = kind.inherited(records[m], kind, theirs[m], rows[m])
        records[m] = replace(
            records[m], **{k: v for k, v in own.items() if f"{m}_{k}" not in options}
        )
    bridged = source.spec.bridged and measured == tuple(theirs)
    return Start(
        source,
        replace(spec, features=features, bridged=bridged),
        replace(config, modalities=records),
        {**deepcopy(source.module.custom_encoders()), **encoders},
        rows,
        measured,
    )


def _check_source(source: Model, spec: ModelSpec) -> None:
    """Raise if nothing could be copied."""
    if not source.stages_:
        msg = (
            "Expected a trained model in init_from=, found one that was never trained. Train it "
            "first, or leave init_from= out."
        )
        raise ValueError(msg)
    if not spec.features.keys() & source.spec.features.keys():
        msg = (
            f"Expected a model of one of {list(spec.features)} in init_from=, found one of "
            f"{list(source.spec.modalities)}. Choose a model with a modality of the data."
        )
        raise ValueError(msg)


def begin(model: Model, start: Start, cells: Cells, allow_new_sizes: bool) -> None:
    """Give an untrained model its start values, then what the source has learned.

    Raises
    ------
    ValueError
        If a trained part of the source has another size, unless `allow_new_sizes`.
    """
    source, module = start.source, model.module
    copied_encoders = [
        m for m in start.rows if not f"modalities.{m}.encoder".startswith(start.untrained)
    ]
    for m in {*copied_encoders} & {*start.measured}:
        module.modality(m).adapt(cells.counts[m], start.rows[m])
    init_from_data(module, cells, np.arange(cells.n_cells), copied_encoders)
    names = source.spec.all_batches
    batches = [names.index(b) if b in names else -1 for b in start.spec.batches]
    done = copy_tensors(module, source.module, start.rows, batches, start.measured, start.untrained)
    changed = _changed_parts(done, start)
    if changed and not allow_new_sizes:
        msg = (
            f"Expected the sizes of the model in init_from=, found others in {_listed(changed)}: "
            f"{_examples(changed)}. Leave out size= and options that change sizes, or pass "
            "allow_new_sizes=True to start these parts anew."
        )
        raise ValueError(msg)
    model._is_warm = True
    model.stages_ = _finished(source, done, start, set(changed))
    model.is_trained_ = bool(model.stages_)
    model.origin_ = _record(start, done, changed)
    logger.info("%s", _report(model.origin_))


def part_of(name: str) -> str:
    """Return the part of a network that a tensor belongs to: ``"rna encoder"``, ``"fusion"``."""
    first, *rest = name.split(".")
    if first == "modalities":
        return f"{rest[0]} {rest[1] if rest[1] in ('encoder', 'decoder') else 'statistics'}"
    if first == "bridges":
        return f"bridges from {rest[0]}"
    if first in _STATISTICS:
        return "fused statistics"
    return "fusion" if first == "absent" else first.replace("_", " ")


def note_trained(
    origin: dict[str, Any] | None,
    module: SCMOMERModule,
    stages: Iterable[str],
    frozen: list[Parameter],
) -> dict[str, Any] | None:
    """Return a model's origin without what published weights lacked and is trained now."""
    if not (origin or {}).get("untrained"):
        return origin
    out = {id(p) for p in frozen}
    some = {id(p) for stage in stages for p in module.stage_parameters(stage)} - out
    names = [name for name, p in module.named_parameters() if id(p) in some]
    record = dict(origin or {})
    record["untrained"] = [
        prefix for prefix in record["untrained"] if not any(n.startswith(prefix) for n in names)
    ]
    return record


def _changed_parts(done: Transfer, start: Start) -> dict[str, list[str]]:
    """Return tensors that did not fit, by part: of other sizes, or of other layers."""
    copied, new, source, untrained = set(done.copied), set(done.new), start.source, start.untrained
    encoders = {f"{m} encoder" for m in start.rows if m in source.stages_}
    lost = [n for n in source.module.state_dict() if part_of(n) in encoders and n not in copied]
    added = [n for n in new if part_of(n) in encoders and not _is_optional(n)]
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys([*done.resized, *lost, *added]):
        part = part_of(name)
        if not (name.startswith(untrained) or _is_optional(name) or part.endswith("statistics")):
            found.setdefault(part, []).append(name)
    return found


def _is_optional(name: str) -> bool:
    """Whether a tensor may start anew without a change of size: guesses of masked patches."""
    return ".decoder_pred." in name


def _finished(source: Model, done: Transfer, start: Start, changed: set[str]) -> tuple[str, ...]:
    """Return the stages that need not be repeated before the model can be used."""
    whole = [
        m
        for m in start.spec.features
        if m in source.stages_ and m in start.rows and f"{m} encoder" not in changed
    ]
    kept = [s for s in source.stages_ if s in whole]
    if any(name.startswith("fusion.") for name in done.copied) and not changed:
        if {*start.spec.features} <= {*start.rows}:
            kept += [s for s in source.stages_ if s in ("fusion", "bridge")]
    return tuple(kept)


def _record(start: Start, done: Transfer, changed: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return what a model was made of, for the report and for its file."""
    copied = dict.fromkeys(map(part_of, done.copied))
    why = dict.fromkeys(changed, "other sizes")
    within = [n for n in (*done.new, *done.resized) if part_of(n) in copied]
    for name in done.new:
        part = part_of(name)
        if part.endswith("statistics") or part in changed:
            continue
        if part in copied:  # a layer of it, such as the pooling of an encoder
            part = f"{part}, {'.'.join(name.split('.')[3:4]) or name}"
        why[part] = _reason(name, start, copied)
    batches = [b for b in start.spec.batches if b in start.source.spec.all_batches]
    return {
        "model_id": start.source.id,
        "stages": list(start.source.stages_),
        "source": (start.source.origin_ or {}).get("publication"),
        "features": {
            m: {
                "copied": int((rows >= 0).sum()),
                "new": int((rows < 0).sum()),
                "left_out": len(start.source.spec.features[m]) - len(np.unique(rows[rows >= 0])),
            }
            for m, rows in start.rows.items()
        },
        "copied": [p for p in copied if p not in changed and not p.endswith("statistics")],
        "new_tensors": within,
        "new": why,
        "batches": batches,
        "kept": [m for m in start.rows if m not in start.measured],
    }


def _reason(name: str, start: Start, copied: Collection[str]) -> str:
    """Return why a tensor starts anew."""
    m = modality_of(name)
    if name.startswith(start.untrained):
        return "not trained in the source"
    if m and m not in start.rows:
        return f"the source has no {m}"
    if name in start.source.module.state_dict():
        of_order = start.source.module.fused_modalities == _fused(start)
        return "it belongs to the features of the source" if of_order else _OTHER_FUSION
    return "not in the source" if "fusion" in copied else _OTHER_FUSION


def _fused(start: Start) -> tuple[str, ...]:
    """Return what the new model fuses."""
    return tuple(start.spec.features) if not start.spec.bridged else (RNA, ATAC)


def _report(record: Mapping[str, Any]) -> str:
    """Return the record as lines of text."""
    lines = [f"Copied from the model {record['source'] or record['model_id']}:"]
    lines += [f"  {', '.join(record['copied'])}"]
    for m, n in record["features"].items():
        what = MODALITY_TYPES[m].feature_name
        lines.append(
            f"  {n['copied']} {what}; {n['new']} {what} of the data are new, {n['left_out']} of "
            "the model are left out"
        )
    lines += [f"  started anew: {part} ({why})" for part, why in record["new"].items()]
    if record["batches"]:
        lines.append(f"  batches of the same name: {_listed(record['batches'])}")
    if record["kept"]:
        lines.append(f"  kept without data: {_listed(record['kept'])}")
    return "\n".join(lines)


def _listed(names: Any) -> str:
    return ", ".join(map(str, names))


def _examples(changed: Mapping[str, list[str]]) -> str:
    return _listed(next(iter(changed.values()))[:3])


def registered_features(spec: ModelSpec) -> dict[str, pd.Index]:
    """Return the features of the modalities that the training data had."""
    return {m: names for m, names in spec.features.items() if m in spec.layers}
