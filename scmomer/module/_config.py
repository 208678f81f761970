"""Sizes and switches of the network: frozen records, each value with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Size = Literal["auto", "small", "base", "paper"]
Reads = Literal["embedding", "features", "both"]


@dataclass(frozen=True)
class StageConfig:
    """How one training stage runs, unless arguments of ``train`` replace it."""

    max_epochs: int = 1
    lr: float = 1e-3
    batch_size: int = 64
    weight_decay: float = 0.01
    patience: int = 5  # epochs without a better validation loss before early stopping
    warmup: float = 0.1  # share of the steps over which the learning rate rises
    min_steps: int = 0  # more epochs, if these are fewer: small data need as many steps as large


@dataclass(frozen=True)
class BridgeConfig:
    """Bridges from one modality to the embeddings of others, and the heads beside them."""

    reads: Literal["auto", "features"] = "auto"  # published: normalized features, no embedding
    hidden: int = 256
    dropout: float = 0.5  # of the hidden layer
    input_dropout: float = 0.5  # of the features; keeps wide inputs from overfitting
    center_inputs: bool = True  # a gene that input dropout hides counts as average, not as absent
    embedding_dropout: float = 0.5  # of the encoders' outputs in stage 3
    refine_source: bool = True  # also predicts the embedding that it starts from; see Bridge
    self_reconstruction: float = 2.0  # weight of rebuilding log expression from RNA too
    count_loss: float = 2.0  # weight of rebuilding raw counts as multinomial
    use_unpaired_rna: bool = True  # cells with RNA alone rebuild it
    use_unpaired_atac: bool = True  # cells with ATAC alone shape its decoders: share_profiles
    n_heads: int = 3  # further bridges with decoders of their own, averaged in translation


@dataclass(frozen=True)
class ModuleConfig:
    """The whole network.

    Build one with :func:`get_config`; every field can be replaced by keyword, fields of a
    modality or of the bridges with its name as prefix: ``rna_dim``, ``bridge_hidden``.
    """

    modalities: dict[str, Any]
    """Configuration of each modality, such as :class:`RNAConfig` under ``"rna"``."""
    bridge: BridgeConfig = field(default_factory=BridgeConfig)
    stages: dict[str, StageConfig] = field(default_factory=dict)
    n_latent: int = 32
    latent_norm: Literal["none", "layer"] = "none"  # "layer" is published: L2 norm, layer norm
    # Distances in embeddings of RNA and ATAC, and of RNA alone, are those of expression; see
    # fit_latent_basis and fit_rna_basis.
    expression_metric: bool = True
    # Refine measured embeddings: RNA's by its bridge, ATAC's by shrinking towards the one predicted from
    # RNA. None: yes, but not for RNA and ATAC of deep cells, which are better as they are measured;
    # see resolve_for_depth.
    measured_gain: bool | None = None
    discriminator_weight: float = 0.1
    distill_weight: float = 0.1
    warm_start: bool = True  # encoders begin as PCA and LSI, fusion as their common components
    input_dropout: float = 0.2  # share of counts hidden from the encoders in stage 2
