"""From one modality to the embeddings of others, and heads that translate with their own decoders."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmomer.module._config import BridgeInput, ModuleConfig
from scmomer.module._decoder import Decoder
from scmomer.module.modalities import KINDS
from scmomer.nn import SparseRows, drop_entries, sparse_linear, to_dense


class Bridge(nn.Module):
    """Predict the embedding of a missing modality from what is measured.

    The paper feeds the embedding of the measured modality, the published code its normalised
    features; ``source`` chooses either or both. The features enter scaled to unit variance. With
    ``centred`` their mean is subtracted, so that input dropout hides which genes are absent as well
    as which are present, and a dropped gene counts as an average one.

    With one more embedding among its outputs it also refines the one that it starts from (not in
    the paper): what fusion then takes of a modality has passed through hidden units that input dropout and
    rebuilding keep from fitting noise, which the encoders' linear start has not.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        n_features: int,
        n_latent: int,
        n_outputs: int,
        hidden: int,
        dropout: float,
        input_dropout: float,
        source: BridgeInput,
        centred: bool = False,
    ):
        super().__init__()
        self.input_dropout, self.centred = input_dropout, centred
        self.embedding = nn.Linear(n_latent, hidden) if source != "expression" else None
        self.features: nn.Parameter | None = None
        if source != "embedding":
            self.features = nn.Parameter(torch.randn(n_features, hidden) / (3 * n_features) ** 0.5)
            self.bias = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("scale", torch.ones(n_features))
        self.register_buffer("shift", torch.zeros(n_features))
        self.rest = nn.Sequential(
            nn.LayerNorm(hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, n_outputs)
        )

    @torch.no_grad()
    def standardize(self, mean: Tensor, std: Tensor) -> None:
        """Set mean and standard deviation of the features, each ``(n_features,)``."""
        self.scale.copy_(1 / std)
        if self.centred:
            self.shift.copy_(mean / std)

    def forward(self, cell: Tensor, features: SparseRows) -> Tensor:
        """Map ``(n, n_latent)`` and normalised features to ``(n, n_outputs)``."""
        hidden = cell.new_zeros(())
        if self.embedding is not None:
            hidden = hidden + self.embedding(cell)  # (n, hidden)
        if self.features is not None:
            values = features.values * self.scale[features.indices]
            hidden = hidden + self._read(features._replace(values=values)) + self.bias
        return self.rest(hidden)

    def _read(self, features: SparseRows) -> Tensor:
        """Multiply scaled features and weights, ``(n, hidden)``."""
        weights = torch.as_tensor(self.features)
        if not self.training or not self.input_dropout:
            return sparse_linear(features, weights) - self.shift @ weights
        if self.centred:  # every gene takes part in the dropout, so the batch is dense here
            dense = to_dense(features, len(weights)) - self.shift  # (n, n_features)
            return F.dropout(dense, self.input_dropout) @ weights
        features = drop_entries(features, self.input_dropout)
        values = features.values / (1 - self.input_dropout)
        return sparse_linear(features._replace(values=values), weights)


def make_bridge(
    source: str, n_features: int, config: ModuleConfig, reads: BridgeInput, n_outputs: int = 1
) -> Bridge:
    """Return a bridge from a modality to so many embeddings."""
    return Bridge(
        n_features,
        config.n_latent,
        config.n_latent * n_outputs,
        config.bridge_hidden,
        config.bridge_dropout,
        config.bridge_input_dropout,
        reads,
        centred=source != "atac" and config.bridge_centred,
    )


class TranslationHead(nn.Module):
    """A bridge and decoders of its own: one more opinion on the missing modalities.

    A peak has few open cells, so the errors of its decoder's weights are what limits a
    translation most. Heads that share nothing make these errors independently of each other.
    Without ``sees_depth`` the decoder of peaks has no depth term: it speaks at the depth that the
    bridge makes of the cell, whatever that is.
    """

    def __init__(
        self,
        source: str,
        sizes: dict[str, int],
        n_batches: int,
        config: ModuleConfig,
        sees_depth: bool = True,
    ):
        super().__init__()
        c = config if sees_depth else replace(config, depth_term=False)
        reads: BridgeInput = c.bridge_input_atac if source == "atac" else "expression"
        self.bridge = make_bridge(source, sizes[source], c, reads)
        self.rates: Decoder | None = None
        if source == "rna" and c.bridge_rates:
            self.rates = Decoder(c.n_latent, sizes["rna"], 1, False)
        self.decoders = nn.ModuleDict(
            {
                m: KINDS[m].decoder(c, n, n_batches)
                for m, n in sizes.items()
                if m != source or (m == "rna" and c.bridge_rebuild)  # see the objective
            }
        )

    def decoder(self, modality: str) -> Decoder:
        """Return the decoder of a modality."""
        return cast(Decoder, self.decoders[modality])

    def forward(self, cell: Tensor, features: SparseRows) -> Tensor:
        """Map an embedding ``(n, n_latent)`` and normalised features to the head's own embedding.

        From RNA and protein it reads the features alone: encoders have fitted their cells already.
        """
        return self.bridge(cell, features)
