"""Sizes and switches of the network: frozen records, each value with its reason."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

_LONG = 400  # expressed genes per cell from which FAVOR+ is faster: benchmarks/attention.py
Size = Literal["auto", "small", "base", "paper"]
Tokens = Literal["expressed", "all"]
Binning = Literal["log2", "log2_floor", "quantile"]
BridgeInput = Literal["embedding", "expression", "both"]


@dataclass(frozen=True)
class RNAConfig:
    """RNA encoder: expression tokens, Performer blocks, pooling to one vector per cell."""

    encoder: Literal["performer", "mlp"] = "performer"
    tokens: Tokens = "expressed"
    binning: Binning = "quantile"  # log2 of counts per 10k saturates on shallow assays
    n_bins: int = 5  # expressed genes fall into bins 1..n_bins, 0 is "not expressed"
    dim: int = 64
    depth: int = 2
    heads: int = 4
    dim_head: int = 16
    ff_mult: int = 2
    attention: Literal["auto", "favor", "softmax"] = "auto"  # see resolve_attention
    n_features: int | None = (
        None  # random features of FAVOR+; None: int(d ln d) as performer-pytorch
    )
    stabiliser: Literal["head", "cell"] = "head"  # of FAVOR+ keys; see FavorAttention
    # "genes" is the published conv + linear; "mean_max" has no parameters and 2 * dim outputs
    pooling: Literal["genes", "mean_max"] = "genes"
    value_skip: bool = True  # pooled value = expression + what the Performer says of the gene
    frozen_positions: bool = False  # the published gene2vec table is frozen
    mlp_hidden: int = 256
    mlp_dropout: float = 0.3


@dataclass(frozen=True)
class ATACConfig:
    """ATAC encoder: genomic patches of peaks, ViT blocks, trained pooler."""

    encoder: Literal["vit", "mlp"] = "vit"
    n_patches: int = 64  # at least one per chromosome
    patch_weights: Literal["shared", "per_peak"] = "per_peak"  # "shared" is the published one
    dim: int = 64
    depth: int = 2
    heads: int = 4
    mlp_dim: int = 128
    peak_skip: bool = True  # a linear map of open peaks beside the pooled class token
    mlp_hidden: int = 256
    mlp_dropout: float = 0.3


@dataclass(frozen=True)
class ProteinConfig:
    """Protein encoder: a perceptron on centred log ratios, beside a linear map of them."""

    hidden: int = 128
    dropout: float = 0.3


@dataclass(frozen=True)
class StageConfig:
    """How one training stage runs, unless ``train`` is told otherwise."""

    max_epochs: int
    lr: float
    batch_size: int
    weight_decay: float = 0.01
    patience: int = 5  # epochs without a better validation loss before early stopping
    warmup: float = 0.1  # share of the steps over which the learning rate rises
    min_steps: int = 0  # more epochs, if these are fewer: small data need as many steps as large


_PROTEIN_STAGE = StageConfig(max_epochs=1, lr=1e-3, batch_size=64, min_steps=200)


def _stages(
    rna: StageConfig,
    atac: StageConfig,
    fusion: StageConfig,
    bridge: StageConfig,
    protein: StageConfig = _PROTEIN_STAGE,
) -> dict[str, StageConfig]:
    return {"rna": rna, "atac": atac, "protein": protein, "fusion": fusion, "bridge": bridge}


@dataclass(frozen=True)
class ModuleConfig:
    """The whole network.

    Build one with :func:`get_config`; every field can be overridden by keyword, fields of the
    encoders with the prefix ``rna_``, ``atac_`` or ``protein_``.
    """

    rna: RNAConfig = field(default_factory=RNAConfig)
    atac: ATACConfig = field(default_factory=ATACConfig)
    protein: ProteinConfig = field(default_factory=ProteinConfig)
    n_latent: int = 32
    latent_norm: Literal["none", "layer"] = "none"  # "layer" is published: L2 norm, layer norm
    # Distances in the embedding of RNA and ATAC are those of decoded expression; see
    # measure_by_expression.
    expression_metric: bool = True
    bridge_input: BridgeInput = "both"  # from RNA
    bridge_input_atac: BridgeInput = "embedding"  # from ATAC; peaks overfit
    bridge_hidden: int = 256
    bridge_dropout: float = 0.5  # of the hidden layer
    bridge_input_dropout: float = 0.5  # of the features; what keeps wide inputs from overfitting
    bridge_centred: bool = True  # a gene that input dropout hides counts as average, not absent
    bridge_refines: bool = True  # it also cleans the embedding it starts from; see Bridge
    bridge_rebuild: float = 2.0  # weight of rebuilding log expression from RNA too, in stage 3
    bridge_rates: float = 2.0  # weight of rebuilding raw counts as multinomial, in stage 3
    bridge_unpaired: bool = True  # cells with RNA alone rebuild it in stage 3
    bridge_heads: int = 3  # further bridges, each with decoders of its own; averaged in translation
    depth_free_heads: int = 2  # of these, so many are never told the depth and differ all the more
    measured_gain: bool = True  # shrink measured ATAC embeddings towards what RNA lets expect
    embedding_dropout: float = 0.5  # of the encoders' outputs in stage 3
    discriminator_weight: float = 0.1
    atac_pos_weight: float = 1.0  # 1 keeps probabilities calibrated; published: 20, 5, 5
    scale_genes: bool = True  # RNA error in units of each gene's spread; published: unscaled
    distill_weight: float = 0.1
    warm_start: bool = True  # encoders begin as PCA and LSI, fusion as their concatenation
    input_dropout: float = 0.2  # share of counts hidden from the encoders in stage 2
    depth_term: bool = True
    depth_share: float = (
        0.7  # of a cell's predicted deviation from the mean ATAC depth; see translation
    )
    target_sum: float | None = None  # None: median total of the training cells; published: 1e4
    stages: dict[str, StageConfig] = field(
        default_factory=lambda: _stages(
            # Short: on shallow cells little is lost even without them (benchmarks/ablation.py).
            rna=StageConfig(max_epochs=1, lr=1e-3, batch_size=64, min_steps=50),
            atac=StageConfig(max_epochs=1, lr=1e-3, batch_size=64, min_steps=50),
            fusion=StageConfig(max_epochs=2, lr=1e-3, batch_size=64, min_steps=100),
            bridge=StageConfig(max_epochs=10, lr=2e-3, batch_size=128, warmup=0.3, min_steps=500),
        )
    )

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested dictionaries (JSON)."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModuleConfig:
        """Rebuild a configuration from :meth:`to_dict`, of an older scmomer too.

        Raises
        ------
        ValueError
            If an option was set that scmomer no longer has.
        """
        values = dict(values)
        for name, only in _REMOVED.items():
            found = values.pop(name, only)
            if found != only:
                msg = (
                    f"Expected {name}={only!r}, the only value that is left, found {found!r}. Load "
                    "the model with the scmomer that wrote it, or train it again."
                )
                raise ValueError(msg)
        for name, record in _ENCODERS.items():
            values[name] = record(**values[name])
        values["stages"] = {k: StageConfig(**v) for k, v in values["stages"].items()}
        return cls(**values)


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
_ENCODERS: dict[str, Any] = {"rna": RNAConfig, "atac": ATACConfig, "protein": ProteinConfig}
_BASE = ModuleConfig(
    rna=RNAConfig(dim=128, depth=4, heads=8, ff_mult=4),
    atac=ATACConfig(n_patches=128, dim=128, depth=4, heads=8, mlp_dim=512),
)
# The published architecture to the layer (bioRxiv 2025.08.04.668374 and its scripts).
_PAPER = ModuleConfig(
    rna=RNAConfig(
        tokens="all",
        binning="log2",
        attention="favor",
        dim=200,
        depth=6,
        heads=10,
        dim_head=64,
        ff_mult=4,
        value_skip=False,
        frozen_positions=True,
    ),
    atac=ATACConfig(
        n_patches=128,
        patch_weights="shared",
        dim=512,
        depth=6,
        heads=8,
        mlp_dim=2048,
        peak_skip=False,
    ),
    n_latent=128,
    distill_weight=1.0,
    latent_norm="layer",
    expression_metric=False,
    target_sum=1e4,
    bridge_input="expression",
    bridge_input_atac="expression",
    bridge_dropout=0.1,
    bridge_input_dropout=0.0,
    bridge_centred=False,
    bridge_refines=False,
    bridge_unpaired=False,
    bridge_rebuild=1.0,
    bridge_rates=0.0,
    bridge_heads=0,
    embedding_dropout=0.0,
    measured_gain=False,
    scale_genes=False,
    warm_start=False,
    discriminator_weight=1.0,
    atac_pos_weight=5.0,
    input_dropout=0.0,
    depth_term=False,
    stages=_stages(
        rna=StageConfig(max_epochs=100, lr=1e-4, batch_size=3, weight_decay=0.0, patience=3),
        atac=StageConfig(max_epochs=100, lr=1e-4, batch_size=32, weight_decay=0.0, patience=3),
        fusion=StageConfig(max_epochs=100, lr=1e-4, batch_size=3, weight_decay=0.0, patience=3),
        bridge=StageConfig(max_epochs=100, lr=1e-4, batch_size=128, weight_decay=0.0, patience=10),
    ),
)
_SIZES: dict[str, ModuleConfig] = {"small": ModuleConfig(), "base": _BASE, "paper": _PAPER}


def _check_choices(prefix: str, record: object) -> None:
    for name, hint in get_type_hints(type(record)).items():
        found = getattr(record, name)
        if get_origin(hint) is Literal and found not in get_args(hint):
            msg = f"Expected {prefix}{name} to be one of {list(get_args(hint))}, found {found!r}."
            raise ValueError(msg)


def resolve_attention(config: ModuleConfig, n_expressed: float) -> ModuleConfig:
    """Settle ``attention="auto"`` for cells with `n_expressed` genes in the median.

    Exact softmax attention is faster up to about 400 tokens, FAVOR+ beyond. The choice is made
    once for a model, never by batch, because the two give different embeddings.
    """
    if config.rna.attention != "auto":
        return config
    short = config.rna.tokens == "expressed" and n_expressed <= _LONG
    attention: Literal["softmax", "favor"] = "softmax" if short else "favor"
    return replace(config, rna=replace(config.rna, attention=attention))


def _prefixed(record: type, prefix: str) -> dict[str, str]:
    return {f"{prefix}_{f.name}": f.name for f in fields(record)}


def get_config(size: Size = "auto", *, has_gpu: bool = False, **overrides: Any) -> ModuleConfig:
    """Return the configuration of a size, with some fields replaced.

    Parameters
    ----------
    size
        ``"small"`` trains in minutes on two CPU cores, ``"base"`` is meant for one GPU,
        ``"paper"`` is the published architecture; ``"auto"`` is ``"base"`` if `has_gpu`,
        else ``"small"``.
    has_gpu
        Whether training will run on a GPU.
    overrides
        Fields of :class:`ModuleConfig` by name, those of the encoders as ``rna_<field>``,
        ``atac_<field>`` and ``protein_<field>``; ``tokens`` and ``binning`` may stand without
        prefix.

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
    config = _SIZES[size]
    overrides = {f"rna_{k}" if k in ("tokens", "binning") else k: v for k, v in overrides.items()}
    names = {name: _prefixed(record, name) for name, record in _ENCODERS.items()}
    top_names = {f.name for f in fields(ModuleConfig)} - {*_ENCODERS, "stages"}
    allowed = top_names.union(*names.values())
    if unknown := sorted(set(overrides) - allowed):
        msg = f"Unknown model option(s) {unknown}. Choose among {sorted(allowed)}."
        raise ValueError(msg)
    encoders = {
        name: replace(getattr(config, name), **{of[k]: v for k, v in overrides.items() if k in of})
        for name, of in names.items()
    }
    config = replace(
        config,
        **encoders,
        stages=dict(config.stages),  # a copy: what a caller changes there stays theirs
        **{k: v for k, v in overrides.items() if k in top_names},
    )
    _check_choices("", config)
    for name, record in encoders.items():
        _check_choices(f"{name}_", record)
    return config
