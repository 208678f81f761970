"""Configurations by size, with replaced fields, from and to JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from scmomer._deprecated import warn_renamed
from scmomer.module._config import BridgeConfig, ModuleConfig, Size, StageConfig
from scmomer.module.modalities import MODALITY_TYPES

_SMALL = ModuleConfig(
    modalities={},
    stages={
        # Short: on shallow cells little is lost without stages 1 and 2 (benchmarks/ablation.py).
        "fusion": StageConfig(max_epochs=2, min_steps=100),
        "bridge": StageConfig(max_epochs=10, lr=2e-3, batch_size=128, warmup=0.3, min_steps=500),
    },
)
# The published architecture to the layer (bioRxiv 2025.08.04.668374 and its scripts).
_PAPER = ModuleConfig(
    modalities={},
    bridge=BridgeConfig(
        reads="features",
        dropout=0.1,
        input_dropout=0.0,
        center_inputs=False,
        embedding_dropout=0.0,
        refine_source=False,
        self_reconstruction=1.0,
        count_loss=0.0,
        use_unpaired_rna=False,
        use_unpaired_atac=False,
        n_heads=0,
    ),
    stages={
        "fusion": StageConfig(100, 1e-4, batch_size=3, weight_decay=0.0, patience=3),
        "bridge": StageConfig(100, 1e-4, batch_size=128, weight_decay=0.0, patience=10),
    },
    n_latent=128,
    latent_norm="layer",
    expression_metric=False,
    measured_gain=False,
    discriminator_weight=1.0,
    distill_weight=1.0,
    warm_start=False,
    input_dropout=0.0,
)
_SIZES = {"small": _SMALL, "base": _SMALL, "paper": _PAPER}
_RECORDS = ("modalities", "bridge", "stages")
# Former names of options, and what they are called now.
_RENAMED = {
    "bridge_centred": "bridge_center_inputs",
    "bridge_refines": "bridge_refine_source",
    "bridge_rebuild": "bridge_self_reconstruction",
    "bridge_rates": "bridge_count_loss",
    "bridge_unpaired": "bridge_use_unpaired_rna",
    "bridge_heads": "bridge_n_heads",
    "embedding_dropout": "bridge_embedding_dropout",
    "scale_genes": "rna_scale_genes",
    "target_sum": "rna_target_sum",
    "depth_term": "atac_depth_term",
    "rna_depth": "rna_n_layers",
    "rna_heads": "rna_n_heads",
    "rna_stabiliser": "rna_stabilizer",
    "atac_depth": "atac_n_layers",
    "atac_heads": "atac_n_heads",
}
# Options that became something else.
_REPLACED = {
    "depth_share": "Pass atac_depth_share, or depth_share= to translations.",
    "depth_free_heads": "The first head has a depth term, further ones have not.",
    "bridge_input": "Bridges read features and embedding; published: bridge_reads='features'.",
    "bridge_input_atac": "Bridges from ATAC read its embedding; published: bridge_reads='features'.",
}
# Options that were off or the same in every size, and what they were.
_REMOVED: dict[str, Any] = {
    "fusion_hidden": 0,
    "bridge_input_protein": "both",
    "bridge_norm": True,
    "latent_dropout": 0.0,
    "decoder_hidden": 0,
    "decoder_dropout": 0.5,
    "discriminator_hidden": 64,
    "negative_fraction": 0.5,
    "clip_genes": 10.0,
    "rna_weight": 1.0,
    "atac_weight": 1.0,
    "protein_weight": 1.0,
    "batch_weight": 0.0,
    "warm_lr": 0.05,
    "mask_fraction": 0.15,
}


def _prefixed(record: type, prefix: str) -> dict[str, str]:
    return {f"{prefix}_{f.name}": f.name for f in fields(record)}


def _check_choices(prefix: str, record: object) -> None:
    for name, hint in get_type_hints(type(record)).items():
        found = getattr(record, name)
        if get_origin(hint) is Literal and found not in get_args(hint):
            msg = f"Expected {prefix}{name} to be one of {list(get_args(hint))}, found {found!r}."
            raise ValueError(msg)


def _present_names(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return options under their present names; ``tokens`` and ``binning`` are those of RNA."""
    found: dict[str, Any] = {}
    for name, value in overrides.items():
        present = f"rna_{name}" if name in ("tokens", "binning") else _RENAMED.get(name, name)
        if name in _RENAMED:
            if present in overrides:
                msg = (
                    f"Expected {present}= or {name}=, its former name, found both. Use {present}=."
                )
                raise TypeError(msg)
            warn_renamed(f"{name}=", f"{present}=", stacklevel=5)
        found[present] = value
    return found


def get_config(
    size: Size = "auto",
    *,
    has_gpu: bool = False,
    base: ModuleConfig | None = None,
    **overrides: Any,
) -> ModuleConfig:
    """Return the configuration of a size, with some fields replaced.

    Parameters
    ----------
    size
        ``"small"`` trains in minutes on two CPU cores, ``"base"`` is meant for one GPU,
        ``"paper"`` is the published architecture; ``"auto"`` is ``"base"`` if `has_gpu`,
        else ``"small"``.
    has_gpu
        Whether training will run on a GPU.
    base
        Replace the fields of this configuration, not those of a size.
    overrides
        Fields of :class:`ModuleConfig` by name, those of a modality or of the bridges with its
        name as prefix (``rna_dim``, ``bridge_hidden``); ``tokens`` and ``binning`` may stand
        without prefix.

    Raises
    ------
    ValueError
        For an unknown size, field or choice.
    """
    if size == "auto":
        size = "base" if has_gpu else "small"
    if size not in _SIZES:
        msg = f"Expected size to be one of {['auto', *_SIZES]}, found {size!r}."
        raise ValueError(msg)
    overrides = _present_names(overrides)
    base = _preset(size) if base is None else base
    # A modality that was added after the base was written has its usual configuration.
    rest = {m: kind.preset(size)[0] for m, kind in MODALITY_TYPES.items()}
    records: dict[str, Any] = {"bridge": base.bridge, **rest, **base.modalities}
    names = {prefix: _prefixed(type(record), prefix) for prefix, record in records.items()}
    top_names = {f.name for f in fields(ModuleConfig)} - {*_RECORDS}
    allowed = top_names.union(*names.values())
    if unknown := sorted(set(overrides) - allowed):
        if unknown[0] in _REPLACED:
            msg = f"{unknown[0]} is no longer an option of the model. {_REPLACED[unknown[0]]}"
            raise ValueError(msg)
        msg = f"Unknown model option(s) {unknown}. Choose among {sorted(allowed)}."
        raise ValueError(msg)
    for prefix, of in names.items():
        chosen = {of[k]: v for k, v in overrides.items() if k in of}
        records[prefix] = replace(records[prefix], **chosen)
        _check_choices(f"{prefix}_", records[prefix])
    config = replace(
        base,
        bridge=records.pop("bridge"),
        modalities=records,
        stages={**_first_stages(size), **base.stages},
        **{k: v for k, v in overrides.items() if k in top_names},
    )
    _check_choices("", config)
    return config


def _preset(size: str) -> ModuleConfig:
    own = {m: kind.preset(size)[0] for m, kind in MODALITY_TYPES.items()}
    return replace(_SIZES[size], modalities=own)


def _first_stages(size: str) -> dict[str, StageConfig]:
    return {m: kind.preset(size)[1] for m, kind in MODALITY_TYPES.items()}


def config_to_dict(config: ModuleConfig) -> dict[str, Any]:
    """Return plain nested dictionaries (JSON)."""
    return asdict(config)


def config_from_dict(values: Mapping[str, Any]) -> ModuleConfig:
    """Rebuild a configuration from :func:`config_to_dict`, of an older scmomer too.

    Raises
    ------
    ValueError
        If an option was set that scmomer no longer has.
    """
    values = dict(values if "modalities" in values else _from_flat(values))
    values["modalities"] = {
        m: MODALITY_TYPES[m].config_type(**_with_tuples(own))
        for m, own in values["modalities"].items()
    }
    values["bridge"] = BridgeConfig(**values["bridge"])
    values["stages"] = {k: StageConfig(**v) for k, v in values["stages"].items()}
    return ModuleConfig(**values)


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the lists of JSON back into tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _from_flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return in today's layout what scmomer wrote before modalities had records of their own."""
    values = dict(values)
    for name, only in _REMOVED.items():
        was = values.pop(name, only)
        if was != only:
            msg = (
                f"Expected {name}={only!r}, the only value that is left, found {was!r}. Load "
                "the model with the scmomer that wrote it, or train it again."
            )
            raise ValueError(msg)
    reads = (values.pop("bridge_input", "both"), values.pop("bridge_input_atac", "embedding"))
    if reads not in (("both", "embedding"), ("expression", "expression")):
        msg = (
            "Expected bridge_input='both' with bridge_input_atac='embedding', or 'expression' for "
            f"both, found {reads}. Load the model with the scmomer that wrote it, or train it "
            "again."
        )
        raise ValueError(msg)
    n_heads, n_free = values.get("bridge_heads", 3), values.pop("depth_free_heads", 2)
    if n_heads and values.get("depth_term", True) and n_heads - n_free != 1:
        msg = (
            f"Expected one of {n_heads} heads with a depth term, found "
            f"{max(0, n_heads - n_free)}. Load the model with the scmomer that wrote it, or train "
            "it again."
        )
        raise ValueError(msg)
    # Half of the decoders had a depth term, and the others none.
    share = values.pop("depth_share", 0.7) / (2 if n_heads else 1)
    stages = values.pop("stages")
    weight = {"atac_pos_weight": values.pop("atac_pos_weight", 1.0)}
    weight |= {} if share == 0.35 else {"atac_depth_share": share}
    nested = {m: dict(values.pop(m)) for m in ("rna", "atac", "protein") if m in values}
    flat = {f"{m}_{name}": value for m, own in nested.items() for name, value in own.items()}
    flat = {_RENAMED.get(k, k): v for k, v in {**values, **flat, **weight}.items()}
    result: dict[str, Any] = {"stages": stages, "modalities": {m: {} for m in nested}}
    result["bridge"] = {"reads": "features" if reads[0] == "expression" else "auto"}
    for name, value in flat.items():
        prefix, _, rest = name.partition("_")
        if prefix in nested:
            result["modalities"][prefix][rest] = value
        elif prefix == "bridge":
            result["bridge"][rest] = value
        else:
            result[name] = value
    return result
