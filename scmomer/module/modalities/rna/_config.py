"""Configuration of RNA."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from scmomer.module._config import ModuleConfig, StageConfig

# Expressed genes per cell beyond which FAVOR+ is faster than softmax (benchmarks/attention.py); and in
# RNA alone a perceptron as good as the Performer and many times as fast (benchmarks/deep_encoder.py);
# and embeddings of measured RNA and ATAC better as they are (benchmarks/deep.py).
_LONG = 400
_DEPTH_SHARE = 1.0  # of deep cells
_OF_ALL_ENCODERS = (
    "encoder",
    "value_skip",
    "mlp_hidden",
    "mlp_dropout",
    "target_sum",
    "scale_genes",
    "min_spread",
)
Tokens = Literal["expressed", "all"]
Binning = Literal["log2", "log2_floor", "quantile"]


@dataclass(frozen=True)
class RNAConfig:
    """RNA encoder: expression tokens, Performer blocks, pooling to one vector per cell."""

    encoder: Literal["auto", "performer", "mlp", "custom"] = "auto"  # see resolve_encoder
    tokens: Tokens = "expressed"
    binning: Binning = "quantile"  # log2 of counts per 10k saturates on shallow assays
    n_bins: int = 5  # expressed genes fall into bins 1..n_bins, 0 is "not expressed"
    dim: int = 64
    n_layers: int = 2
    n_heads: int = 4
    dim_head: int = 16
    ff_mult: int = 2
    attention: Literal["auto", "favor", "softmax"] = "auto"  # see resolve_attention
    # Random features of FAVOR+; None: int(d ln d) as performer-pytorch.
    n_features: int | None = None
    stabilizer: Literal["head", "cell"] = "head"  # of FAVOR+ keys; see FavorAttention
    # "genes" is the published conv + linear; "mean_max" has no parameters and 2 * dim outputs
    pooling: Literal["genes", "mean_max"] = "genes"
    value_skip: bool = True  # the embedding also has a linear map of expression: see the encoders
    frozen_positions: bool = False  # the published gene2vec table is frozen
    mlp_hidden: int = 256
    mlp_dropout: float = 0.3
    target_sum: float | None = None  # None: median total of the training cells; published: 1e4
    scale_genes: bool = True  # error in units of each gene's spread; published: unscaled
    # Least spread of a gene, in units of the log expression of one count in a cell of median depth.
    # None: 0.4, and 0.05 in shallow cells; see benchmarks/deep_defaults.py.
    min_spread: float | None = None


_STAGE = StageConfig(min_steps=50)
PRESETS = {
    "small": (RNAConfig(), _STAGE),
    "base": (RNAConfig(dim=128, n_layers=4, n_heads=8, ff_mult=4), _STAGE),
    "paper": (
        RNAConfig(
            encoder="performer",
            tokens="all",
            binning="log2",
            attention="favor",
            dim=200,
            n_layers=6,
            n_heads=10,
            dim_head=64,
            ff_mult=4,
            value_skip=False,
            frozen_positions=True,
            target_sum=1e4,
            scale_genes=False,
        ),
        StageConfig(100, 1e-4, batch_size=3, weight_decay=0.0, patience=3),
    ),
}


def resolve_encoder(config: ModuleConfig, is_alone: bool) -> ModuleConfig:
    """Settle ``encoder="auto"``.

    A perceptron if RNA `is_alone` in the model, unless an option was changed that only the
    Performer has.
    """
    rna: RNAConfig = config.modalities["rna"]
    if rna.encoder != "auto":
        return config
    sizes = [_of_performer(preset) for preset, _ in PRESETS.values()]
    is_usual = _of_performer(rna) in sizes
    rna = replace(rna, encoder="mlp" if is_alone and is_usual else "performer")
    return replace(config, modalities={**config.modalities, "rna": rna})


def resolve_for_depth(config: ModuleConfig, n_expressed: float) -> ModuleConfig:
    """Settle what differs for deep cells of RNA and ATAC, with `n_expressed` genes in the median.

    Refining an embedding of both modalities helps shallow cells and costs deep ones some of their
    differences; and RNA of deep cells predicts the depth of their ATAC better (benchmarks/deep.py).
    """
    is_deep = n_expressed > _LONG
    atac = config.modalities["atac"]
    if is_deep and atac.depth_share is None:
        atac = replace(atac, depth_share=_DEPTH_SHARE)
    gain = not is_deep if config.measured_gain is None else config.measured_gain
    return replace(config, measured_gain=gain, modalities={**config.modalities, "atac": atac})


def _of_performer(config: RNAConfig) -> dict[str, Any]:
    """Return the options of the Performer."""
    return {k: v for k, v in asdict(config).items() if k not in _OF_ALL_ENCODERS}


def resolve_attention(config: ModuleConfig, n_expressed: float) -> ModuleConfig:
    """Settle ``attention="auto"`` for cells with `n_expressed` genes in the median.

    Exact softmax attention is faster up to about 400 tokens, FAVOR+ beyond. The choice is made
    once for a model, never by batch, because the two give different embeddings.
    """
    rna: RNAConfig = config.modalities["rna"]
    if rna.attention != "auto":
        return config
    short = rna.tokens == "expressed" and n_expressed <= _LONG
    rna = replace(rna, attention="softmax" if short else "favor")
    return replace(config, modalities={**config.modalities, "rna": rna})
